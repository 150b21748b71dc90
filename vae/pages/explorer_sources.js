// The explorer: where the image comes from: the wall of test images, a drawing, a picture.

// ---- Where the image comes from ----

function buildWall() {
  const place = byId("panel-wall"), buttons = [];
  let last = null;
  wall.forEach(({ x, label }, i) => {
    if (label !== null && label !== last) place.append(el("span", { class: "name", text: labelName(label) }));
    last = label;
    const canvas = el("canvas");
    paint(canvas, x);
    const button = el("button", { type: "button", tabindex: -1, "aria-pressed": "false", "aria-label": `test image ${i + 1}${label === null ? "" : `, ${labelName(label)}`}`, on: { click: () => chooseWall(i) } }, canvas);
    buttons.push(button);
    place.append(button);
  });
  /** The image above or below: in the next line, the one nearest to the same column. */
  const beside = (at, direction) => {
    const here = buttons[at];
    const lines = buttons.map((button) => direction * (button.offsetTop - here.offsetTop)).filter((away) => away > 0);
    const next = here.offsetTop + direction * Math.min(...lines);
    const line = buttons.filter((button) => button.offsetTop === next);
    const away = (button) => Math.abs(button.offsetLeft - here.offsetLeft);
    return buttons.indexOf(line.reduce((best, button) => (away(button) < away(best) ? button : best), line[0]));
  };
  place.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at < 0 ? -1 : beside(at, -1), ArrowDown: at < 0 ? -1 : beside(at, 1), Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[to].focus();
    chooseWall(to);
  });
  return buttons;
}

let wallButtons = [];

function chooseWall(i) {
  halt();
  markWall(i);
  byId("own-options").classList.add("hidden");
  const { x, label } = wall[i];
  setImage(x, `test image ${i + 1} of ${wall.length}${label === null ? "" : `: ${labelName(label)}`}`, i);
}

function markWall(i) {
  wallButtons.forEach((button, n) => {
    button.setAttribute("aria-pressed", n === i);
    button.tabIndex = n === (i ?? 0) ? 0 : -1;
  });
}

/** Show the panel of one source of images. */
function showSource(name) {
  for (const other of ["wall", "draw", "open"]) {
    byId(`panel-${other}`).classList.toggle("hidden", other !== name);
    byId(`show-${other}`).setAttribute("aria-pressed", other === name);
  }
  byId("own-options").classList.toggle("hidden", name === "wall");
  document.body.classList.toggle("drawing", name === "draw");
}

/** What the training does with grey, where x is black or white. */
const drawnWords = () => (data.binarised ? ". Each pixel is drawn black or white, with its grey as the probability, as in the training" : "");

/** Use a picture, and remember it: the options change what is made of it. */
function useOwn(source, name) {
  halt();
  markWall(null);
  state.own = { source, name };
  setImage(fromPicture(source), `${name}${drawnWords()}.`);
}

function preparePad() {
  const pad = byId("pad"), context = pad.getContext("2d", { willReadFrequently: true });
  const clear = () => { context.fillStyle = "#000"; context.fillRect(0, 0, pad.width, pad.height); };
  clear();
  Object.assign(context, { fillStyle: "#8a929c", font: "20px system-ui, sans-serif", textAlign: "center" });
  context.fillText("draw here", pad.width / 2, pad.height / 2);
  let isNew = true;
  let last = null;
  const place = (event) => { const box = pad.getBoundingClientRect(); return [((event.clientX - box.left) / box.width) * pad.width, ((event.clientY - box.top) / box.height) * pad.height]; };
  const use = onceAFrame(() => useOwn(pad, "your drawing"));
  onDrag(pad, (event) => {
    const [x, y] = place(event);
    if (isNew) clear();
    isNew = false;
    Object.assign(context, { lineWidth: 20, lineCap: "round", lineJoin: "round", strokeStyle: channels === 3 ? byId("ink").value : "#fff" });
    context.beginPath();
    context.moveTo(...(last ?? [x, y]));
    context.lineTo(x, y);
    context.stroke();
    last = [x, y];
    use();
  }, () => { last = null; });
  byId("clear-pad").addEventListener("click", () => { isNew = false; clear(); useOwn(pad, "your drawing"); });
  byId("ink").classList.toggle("hidden", channels !== 3);
}

async function openPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    byId("original-name").textContent = `${file.name} is no picture that this browser reads. Try a PNG or a JPEG. The image before is still shown.`;
    return;
  }
  const canvas = makeCanvas(bitmap.width, bitmap.height), context = smooth(canvas);
  context.fillStyle = data.background; // behind transparent pixels, as in the training
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  showSource("open");
  byId("invert").checked = dataLieOnBlack() && isBright(borderColour(canvas));
  useOwn(canvas, file.name || "pasted picture");
}

function prepareSources() {
  for (const name of ["wall", "draw", "open"]) byId(`show-${name}`).addEventListener("click", () => showSource(name));
  byId("show-draw").addEventListener("click", () => { byId("invert").checked = false; });
  preparePad();
  byId("centre").checked = channels === 1 && height === 28 && width === 28;
  for (const id of ["centre", "invert"]) byId(id).addEventListener("change", () => { if (state.own) useOwn(state.own.source, state.own.name); });
  byId("file").addEventListener("click", (event) => { event.target.value = ""; }); // so that the same file can be chosen again
  byId("file").addEventListener("change", (event) => { const [file] = event.target.files; if (file) openPicture(file); });
  const over = (is) => (event) => { event.preventDefault(); document.body.classList.toggle("dropping", is); };
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => { over(false)(event); const [file] = event.dataTransfer.files; if (file) openPicture(file); });
  document.addEventListener("paste", (event) => { const [file] = event.clipboardData.files; if (file) openPicture(file); });
}
