// The explorer: an image x, its posterior q(z|x), a point z, and the picture p(x|z), for one or several models.

const DEAD_BELOW = 0.01; // nats: a latent with less rate is collapsed
const STRIP = [-3, -2, -1, 0, 1, 2, 3];
const DRAWS = 32; // of q(z|x), for the mean of the distortion
const REST = 250; // milliseconds that the pointer rests on a row before its latent is shown
const TILES = 13; // of the manifold, in each direction
const CATEGORIES = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#9c6bce", "#8c6d4f", "#e377c2", "#7f8791", "#b6a100", "#17a2b8"];

const data = carried("explorer");
const [channels, height, width] = data.shape;
const pixels = channels * height * width;
const models = [];
const wall = []; // {x, label}
let state; // what is chosen: see `begin`

// ---- Pixels ----

/** Values of x as bytes of an image, where data.shown is black and white. */
function toRgba(values, target = new Uint8ClampedArray(4 * height * width)) {
  const [black, white] = data.shown, scale = 255 / (white - black), area = height * width;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) target[4 * i + c] = (values[(channels === 3 ? c * area : 0) + i] - black) * scale;
    target[4 * i + 3] = 255;
  }
  return target;
}

/** Show values of x on a canvas. */
function paint(canvas, values) {
  paintRgba(canvas, toRgba(values));
}

function paintRgba(canvas, rgba) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

/** x minus the mean: in one channel orange where x has more, blue where it has less; in three channels around grey. */
function paintDifference(canvas, x, mean) {
  const [black, white] = data.shown, area = height * width, rgba = new Uint8ClampedArray(4 * area);
  for (let i = 0; i < area; i++) {
    const part = (c) => clamp((x[c * area + i] - mean[c * area + i]) / (white - black), -1, 1);
    const colour = channels === 3 ? [0, 1, 2].map((c) => 128 + 127 * part(c)) : part(0) > 0 ? [255, 150, 80].map((v) => v * part(0)) : [90, 160, 255].map((v) => -v * part(0));
    rgba.set([...colour, 255], 4 * i);
  }
  paintRgba(canvas, rgba);
}

/** The images that the page carries, as values of x. */
function readImages(bytes) {
  const { count, format } = data.images, found = [];
  const floats = format === "floats" ? new Float32Array(bytes.buffer, bytes.byteOffset, count * pixels) : null;
  for (let image = 0; image < count; image++) {
    const x = new Float32Array(pixels);
    for (let i = 0; i < pixels; i++) {
      const at = image * pixels + i;
      x[i] = floats ? floats[at] : format === "bits" ? (bytes[at >> 3] >> (7 - (at & 7))) & 1 : bytes[at] / 255;
    }
    found.push(x);
  }
  return found;
}

/** Numbers in [0, 1) that are the same each time (mulberry32). */
function makeUniform(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A standard normal number, by Box and Muller. */
const normal = (uniform) => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

// ---- An image of one's own ----

/** The grey values or colours of a canvas, in [0, 1], channels first. */
function valuesOf(canvas) {
  const { data: rgba } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const area = canvas.width * canvas.height, values = new Float32Array(channels * area);
  for (let i = 0; i < area; i++) {
    const [r, g, b] = [rgba[4 * i] / 255, rgba[4 * i + 1] / 255, rgba[4 * i + 2] / 255];
    if (channels === 1) values[i] = 0.299 * r + 0.587 * g + 0.114 * b; // ITU-R BT.601, as in the training
    else [r, g, b].forEach((v, c) => { values[c * area + i] = v; });
  }
  return values;
}

/** Draw a picture into a new canvas of this size: smaller by halves, so that every pixel counts. */
function resizedTo(source, sourceX, sourceY, sourceWidth, sourceHeight, toWidth, toHeight, place, behind = "#000") {
  let current = source, [x, y, w, h] = [sourceX, sourceY, sourceWidth, sourceHeight];
  while (w > 2 * place.width && h > 2 * place.height) {
    const half = makeCanvas(Math.round(w / 2), Math.round(h / 2));
    smooth(half).drawImage(current, x, y, w, h, 0, 0, half.width, half.height);
    [current, x, y, w, h] = [half, 0, 0, half.width, half.height];
  }
  const result = makeCanvas(toWidth, toHeight), context = smooth(result);
  context.fillStyle = behind;
  context.fillRect(0, 0, toWidth, toHeight);
  context.drawImage(current, x, y, w, h, place.x, place.y, place.width, place.height);
  return result;
}

function makeCanvas(canvasWidth, canvasHeight) {
  return el("canvas", { width: Math.max(1, canvasWidth), height: Math.max(1, canvasHeight) });
}

function smooth(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  return context;
}

/** x of a picture: as MNIST was made (LeCun et al., 1998), or as `fitted` has it. */
function fromPicture(source) {
  if (byId("invert").checked) source = inverted(source);
  if (byId("centre").checked && source !== byId("pad")) source = cutOut(source);
  const canvas = byId("centre").checked ? centredLikeMnist(source) : fitted(source);
  let values = canvas ? valuesOf(canvas) : new Float32Array(pixels);
  if (data.binarised) {
    const uniform = makeUniform(1);
    values = values.map((v) => (uniform() < v ? 1 : 0));
  }
  const [black, white] = data.shown;
  return data.unitInterval ? values : values.map((v) => black + v * (white - black));
}

function inverted(source) {
  const result = makeCanvas(source.width, source.height), context = smooth(result);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, result.width, result.height);
  context.globalCompositeOperation = "difference";
  context.drawImage(source, 0, 0);
  return result;
}

/** The grey value of pixel i of an image's bytes, from 0 to 255. */
const luma = (rgba, i) => 0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2];

/** The mean colour of the border of a picture, from 0 to 255. */
function borderColour(source) {
  const { data: rgba } = smooth(source).getImageData(0, 0, source.width, source.height);
  const [w, h] = [source.width, source.height], border = [];
  for (let x = 0; x < w; x++) border.push(x, (h - 1) * w + x);
  for (let y = 0; y < h; y++) border.push(y * w, y * w + w - 1);
  return [0, 1, 2].map((c) => sumOf(border.map((i) => rgba[4 * i + c])) / border.length);
}

const isBright = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b > 127;

/** Whether the images of the data lie on black: then a picture on white is swapped. */
function dataLieOnBlack() {
  if (channels !== 1) return false;
  const [black, white] = data.shown, middle = (black + white) / 2;
  return wall.filter(({ x }) => x[0] + x[width - 1] + x[pixels - width] + x[pixels - 1] > 4 * middle).length < wall.length / 2;
}

/** The light ink of a photograph on pure black. Paper is brighter here and darker there: what counts is by how much a
 * pixel is above the mean of its surroundings (Bradley & Roth, 2007), and the threshold is that of Otsu (1979). */
function cutOut(source) {
  const scale = Math.min(1, 400 / Math.max(source.width, source.height));
  const [w, h] = [Math.max(1, Math.round(source.width * scale)), Math.max(1, Math.round(source.height * scale))];
  const result = resizedTo(source, 0, 0, source.width, source.height, w, h, { x: 0, y: 0, width: w, height: h });
  const context = result.getContext("2d"), image = context.getImageData(0, 0, w, h);
  const values = Float64Array.from({ length: w * h }, (_, i) => luma(image.data, i)), around = meansAround(values, w, h);
  const above = values.map((v, i) => Math.max(0, v - around[i]));
  const { low, high } = twoGroups(above);
  for (let i = 0; i < w * h; i++) {
    const value = (255 * (above[i] - (low + (high - low) / 4))) / Math.max(1, 0.75 * (high - low));
    image.data.set([value, value, value, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return result;
}

/** The mean of the square around each pixel, half as wide as the image. */
function meansAround(values, w, h) {
  const sums = new Float64Array((w + 1) * (h + 1)), reach = Math.ceil(Math.max(w, h) / 4);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    sums[(y + 1) * (w + 1) + x + 1] = values[y * w + x] + sums[y * (w + 1) + x + 1] + sums[(y + 1) * (w + 1) + x] - sums[y * (w + 1) + x];
  }
  return values.map((_, i) => {
    const [x, y] = [i % w, Math.floor(i / w)];
    const [x0, x1, y0, y1] = [Math.max(0, x - reach), Math.min(w, x + reach + 1), Math.max(0, y - reach), Math.min(h, y + reach + 1)];
    const sum = sums[y1 * (w + 1) + x1] - sums[y0 * (w + 1) + x1] - sums[y1 * (w + 1) + x0] + sums[y0 * (w + 1) + x0];
    return sum / ((x1 - x0) * (y1 - y0));
  });
}

/** The means of the two groups, low and high, between which the values from 0 to 255 differ most. */
function twoGroups(values) {
  const counts = new Array(256).fill(0);
  for (const v of values) counts[Math.min(255, Math.round(v))]++;
  const all = sumOf(counts.map((count, v) => count * v));
  let best = { between: -1, low: 0, high: 255 }, below = 0, sumBelow = 0;
  for (let v = 0; v < 255; v++) {
    below += counts[v];
    sumBelow += v * counts[v];
    if (!below || below === values.length) continue;
    const [low, high] = [sumBelow / below, (all - sumBelow) / (values.length - below)];
    const between = below * (values.length - below) * (high - low) ** 2;
    if (between > best.between) best = { between, low, high };
  }
  return best;
}

/** The picture in the size of x, as the training did it: `fit`, `crop` or `stretch`. Where all its pictures had one size,
 * a picture of another is fitted, and the room beside it gets the colour of its border. */
function fitted(source) {
  const across = width / source.width, down = height / source.height;
  const scale = data.resize === "crop" ? Math.max(across, down) : Math.min(across, down);
  const place = data.resize === "stretch" ? { width, height } : { width: source.width * scale, height: source.height * scale };
  place.x = (width - place.width) / 2;
  place.y = (height - place.height) / 2;
  const behind = data.resize === null ? `rgb(${borderColour(source).join(" ")})` : data.background;
  return resizedTo(source, 0, 0, source.width, source.height, width, height, place, behind);
}

/** The ink fitted into 20/28 of the image, with its centre of mass in the middle. Null if there is no ink. */
function centredLikeMnist(source) {
  const { data: rgba } = smooth(source).getImageData(0, 0, source.width, source.height);
  const ink = (x, y) => luma(rgba, y * source.width + x);
  let [left, right, top, bottom] = [Infinity, -1, Infinity, -1];
  for (let y = 0; y < source.height; y++) for (let x = 0; x < source.width; x++) {
    if (ink(x, y) < 40) continue;
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  if (right < 0) return null;
  const [inkWidth, inkHeight] = [right - left + 1, bottom - top + 1];
  const scale = Math.min((width * 20) / 28 / inkWidth, (height * 20) / 28 / inkHeight);
  const box = { width: inkWidth * scale, height: inkHeight * scale };
  const put = (x, y) => resizedTo(source, left, top, inkWidth, inkHeight, width, height, { ...box, x, y });
  const [x, y] = [(width - box.width) / 2, (height - box.height) / 2];
  const values = valuesOf(put(x, y));
  let [mass, atX, atY] = [0, 0, 0];
  for (let i = 0; i < height * width; i++) {
    mass += values[i];
    atX += values[i] * ((i % width) + 0.5);
    atY += values[i] * (Math.floor(i / width) + 0.5);
  }
  return put(x + Math.round(width / 2 - atX / mass), y + Math.round(height / 2 - atY / mass));
}

// ---- What is chosen ----

const model = () => models[state.model];

/** Encode the image anew: every latent that is not held goes to the posterior mean. */
function setImage(x, name, wallIndex = null) {
  state.x = x;
  state.name = name;
  state.wallIndex = wallIndex;
  state.posterior = encode(model(), x);
  state.expected = null;
  moveTo(state.posterior.mean);
  paint(byId("original"), x);
  paint(byId("small-original"), x);
  byId("original-name").textContent = name;
  drawRidges();
  inBackground("compare", compareModels());
  inBackground("draws", averageOverDraws());
}

function setModel(index) {
  state.model = index;
  state.held = new Set();
  state.animated = null;
  const { ratePerLatent } = model();
  state.order = ratePerLatent.map((_, k) => k).sort((a, b) => ratePerLatent[b] - ratePerLatent[a]);
  state.selected = state.order[0];
  state.z = new Float32Array(model().latents);
  buildRows();
  buildMapChoices();
  buildMatrix();
  describeModel();
  setImage(state.x, state.name, state.wallIndex);
  drawTradeoff();
}

/** Set all latents that are not held. */
function moveTo(z) {
  state.z = state.z.map((value, k) => (state.held.has(k) ? value : z[k]));
  refresh();
}

function setLatent(k, value) {
  state.z[k] = clamp(value, -state.reach, state.reach);
  refresh(k);
}

function select(k) {
  if (state.selected === k && byId("latent").children.length) return;
  state.selected = k;
  for (const [latent, row] of rows) row.root.classList.toggle("selected", latent === k);
  drawLatent();
}

// ---- From z to the picture ----

/** Decode z and show it at once; the rest follows with the next frame. `moved`: the only latent that has changed. */
function refresh(moved = null) {
  const started = performance.now();
  state.output = decode(model(), state.z);
  state.mean = pixelMeans(model(), state.output);
  paint(byId("decoded"), state.mean);
  state.latencies.push(performance.now() - started);
  if (state.latencies.length > 60) state.latencies.shift();
  if (moved === null || moved !== state.selected) state.stripIsOld = true;
  if (moved === null || !state.mapAxes?.includes(moved)) state.manifoldIsOld = true;
  refreshRest();
}

const refreshRest = onceAFrame(() => {
  paintDifference(byId("difference"), state.x, state.mean);
  for (const [k, row] of rows) row.show(k);
  drawNumbers();
  drawLatentNumbers();
  if (state.stripIsOld) { state.stripIsOld = false; inBackground("strip", drawStrip()); }
  if (state.manifoldIsOld && byId("manifold").checked) { state.manifoldIsOld = false; inBackground("manifold", drawManifold()); }
  drawMap();
  const sorted = [...state.latencies].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  document.documentElement.dataset.latency = median.toFixed(2);
  byId("latency").textContent = `From a slider to pixels: ${shown(median, 1)} ms here (median of the last ${sorted.length}).`;
});

const waiting = new Map();
let working = false;

/** Do the steps of an iterator in small parts, between other work. A new one of the same name replaces it. */
function inBackground(name, steps) {
  waiting.set(name, steps);
  if (!working) {
    working = true;
    setTimeout(work, 0);
  }
}

function work() {
  const end = performance.now() + 8;
  for (const [name, steps] of waiting) {
    let done = false;
    while (!done && performance.now() < end) done = steps.next().done;
    if (done && waiting.get(name) === steps) waiting.delete(name);
  }
  document.documentElement.dataset.busy = String(waiting.size > 0);
  working = waiting.size > 0;
  if (working) setTimeout(work, 4);
}

// ---- Numbers ----

function rateOf(posterior) {
  return sumOf([...posterior.mean].map((mean, k) => klStandard(mean, posterior.logvar[k])));
}

/** The mean of -ln p(x|z) over draws of q(z|x): the distortion of the loss. The draws are the same each time. */
function* expectedDistortion(one, x, posterior, draws) {
  const uniform = makeUniform(2), { mean, logvar } = posterior;
  let total = 0;
  for (let draw = 0; draw < draws; draw++) {
    const z = mean.map((m, k) => m + Math.exp(logvar[k] / 2) * normal(uniform));
    total += distortionOf(one, x, decode(one, z));
    yield null;
  }
  return total / draws;
}

function* averageOverDraws() {
  state.expected = yield* expectedDistortion(model(), state.x, state.posterior, DRAWS);
  drawNumbers();
}

/** Rows of bars that follow one another: each begins where the one before it ends. Densities can be negative. */
function drawNumbers() {
  const { beta } = model(), rate = rateOf(state.posterior);
  const distortion = distortionOf(model(), state.x, state.output), expected = state.expected;
  const ends = [0, distortion, ...(expected === null ? [] : [expected, expected + rate, expected + beta * rate])];
  const [low, high] = [Math.min(...ends), Math.max(...ends, 1e-9)];
  const place = (value) => (100 * (value - low)) / (high - low);
  const stack = (title, parts) => {
    const track = el("div", { class: "track", "aria-hidden": "true" }), words = el("div", { class: "parts" });
    let total = 0;
    for (const { kind, name, value } of parts) {
      const part = el("span", { class: kind });
      part.style.left = `${place(Math.min(total, total + value))}%`;
      part.style.width = `${place(Math.abs(value) + low)}%`;
      track.append(part);
      if (name) words.append(el("span", { class: `ink-${kind}`, text: `${name} ${shown(value)}` }));
      total += value;
    }
    if (low < 0) {
      const zero = el("span", { class: "zero" });
      zero.style.left = `${place(0)}%`;
      track.append(zero);
    }
    return el("div", { class: "stack" }, el("div", { class: "sum" }, el("span", { text: title }), el("b", { text: shown(total) })), track, ...(words.children.length ? [words] : []));
  };
  const mean = (rateName, weight) => [{ kind: "distortion", name: "distortion", value: expected }, { kind: "rate", name: rateName, value: weight * rate }];
  const children = [stack("distortion of this z", [{ kind: "distortion", value: distortion }])];
  if (expected !== null) {
    children.push(stack(beta === 1 ? "loss = −ELBO" : `loss, β = ${beta}`, mean(beta === 1 ? "rate" : "β · rate", beta)));
    if (beta !== 1) children.push(stack("−ELBO", mean("rate", 1)));
    const words = [`Loss and ELBO take the mean distortion over ${DRAWS} draws of q(z|x), so they do not move with z.`];
    if (model().likelihood.kind === "bernoulli" && state.x.every((v) => v === 0 || v === 1)) {
      words.push(`−ELBO = ${shown(expected + rate)} nats = ${shown((expected + rate) / Math.LN2 / pixels, 3)} bits per pixel.`);
    }
    children.push(el("p", { class: "soft caption", text: words.join(" ") }));
  }
  byId("numbers").replaceChildren(...children);
  byId("numbers").dataset.values = JSON.stringify({ distortion, rate, beta, expected });
}

// ---- The rows of latents ----

const rows = new Map();

function buildRows() {
  rows.clear();
  const { ratePerLatent } = model();
  const alive = state.order.filter((k) => ratePerLatent[k] >= DEAD_BELOW), dead = state.order.filter((k) => ratePerLatent[k] < DEAD_BELOW);
  byId("rows").replaceChildren(...alive.map((k) => makeRow(k).root));
  const details = byId("dead");
  details.classList.toggle("hidden", !dead.length);
  details.querySelector("summary").textContent = `${dead.length} collapsed ${dead.length === 1 ? "latent" : "latents"}, below ${DEAD_BELOW} nats: the decoder ignores them`;
  details.querySelector(".rows").replaceChildren(...dead.map((k) => makeRow(k).root));
  if (!alive.length) details.open = true;
  byId("title-z-more").textContent = "most used first, in standard deviations of the prior";
}

/** A latent: its name, a slider over the prior and the posterior, its value, its KL, and what one can do with it. */
function makeRow(k) {
  const { reach } = state;
  const prior = svg("path", { class: "prior" }), posterior = svg("path", { class: "posterior" });
  const ridge = svg("svg", { class: "ridge", viewBox: "0 0 200 40", preserveAspectRatio: "none", "aria-hidden": "true" }, prior, posterior);
  const input = el("input", { type: "range", min: -reach, max: reach, step: 0.01, "aria-label": `latent ${k}`, "aria-keyshortcuts": "Space H R", on: { input: () => { halt(); select(k); setLatent(k, Number(input.value)); }, keydown: (event) => actByKey(k, event) } });
  const value = el("span", { class: "value number" });
  const number = el("span", { class: "number" }), bar = el("span", { class: "bar" });
  const animate = el("button", { type: "button", tabindex: -1, text: "▶", title: "move it up and down", "aria-label": `animate latent ${k}`, "aria-pressed": "false", on: { click: () => toggleAnimation(k) } });
  const hold = el("button", { type: "button", tabindex: -1, text: "hold", title: "keep its value when the others change", "aria-label": `hold latent ${k}`, "aria-pressed": "false", on: { click: () => toggleHold(k) } });
  const reset = el("button", { type: "button", tabindex: -1, text: "↺", title: "back to the posterior mean", "aria-label": `reset latent ${k}`, on: { click: () => resetLatent(k) } });
  const name = el("button", { type: "button", tabindex: -1, class: "name", text: `z${subscript(k)}`, "aria-label": `show latent ${k}`, on: { click: () => select(k) } });
  const root = el("div", { class: `row${k === state.selected ? " selected" : ""}`, "data-latent": k, on: { pointermove: (event) => hover(k, event), pointerleave: () => { clearTimeout(hovering); mark(null); }, focusin: () => select(k) } },
    name, el("div", { class: "slide" }, ridge, input), value,
    el("div", { class: "kl" }, number, el("span", { class: "track", "aria-hidden": "true" }, bar)),
    el("div", { class: "tools" }, animate, hold, reset));
  prior.setAttribute("d", ridgePath(0, 0, reach));
  const row = {
    root, prior, posterior,
    show() {
      input.value = state.z[k];
      value.textContent = shown(state.z[k]);
      input.setAttribute("aria-valuetext", `${shown(state.z[k])}, KL ${number.textContent}`);
      root.classList.toggle("held", state.held.has(k));
      hold.setAttribute("aria-pressed", state.held.has(k));
      animate.setAttribute("aria-pressed", state.animated === k);
      animate.textContent = state.animated === k ? "■" : "▶";
    },
    showPosterior(largest) {
      const kl = klStandard(state.posterior.mean[k], state.posterior.logvar[k]);
      posterior.setAttribute("d", ridgePath(state.posterior.mean[k], state.posterior.logvar[k], reach));
      number.textContent = `${shown(kl)} nats`;
      bar.style.width = `${(100 * kl) / largest}%`;
    },
  };
  rows.set(k, row);
  return row;
}

/** Space plays a latent, H holds it, R resets it. */
function actByKey(k, event) {
  const act = { " ": toggleAnimation, h: toggleHold, r: resetLatent }[event.key.toLowerCase()];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act(k);
}

const subscript = (k) => String(k).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);

/** The density of N(mean, exp(logvar)) as a filled path. High peaks are cut to the height of the row. */
function ridgePath(mean, logvar, reach) {
  const sigma = Math.exp(logvar / 2), height = 38 * Math.min(1, 0.45 / sigma ** 0.7);
  const from = clamp(mean - 4 * sigma, -reach, reach), to = clamp(mean + 4 * sigma, -reach, reach);
  const place = (v) => (200 * (v + reach)) / (2 * reach);
  let path = `M${place(from).toFixed(2)} 40`;
  for (let i = 0; i <= 40; i++) {
    const v = from + ((to - from) * i) / 40;
    path += `L${place(v).toFixed(2)} ${(40 - height * Math.exp(-0.5 * ((v - mean) / sigma) ** 2)).toFixed(2)}`;
  }
  return `${path}L${place(to).toFixed(2)} 40Z`;
}

function drawRidges() {
  const { mean, logvar } = state.posterior;
  const largest = doubled(Math.max(...[...mean].map((m, k) => klStandard(m, logvar[k]))));
  for (const row of rows.values()) row.showPosterior(largest);
  drawLatent();
}

let hovering = 0;

/** Select the latent under a pointer that rests: one that only crosses the row is on its way elsewhere. */
function hover(k, event) {
  if (event.pointerType !== "mouse" || event.buttons || state.animated !== null) return;
  clearTimeout(hovering);
  mark(k);
  hovering = setTimeout(() => select(k), REST);
}

/** Mark a latent in the matrix of factors, and its row. */
function mark(k) {
  for (const line of byId("matrix").querySelectorAll("tr")) line.classList.toggle("marked", k !== null && line.dataset.latent === String(k));
  for (const [latent, row] of rows) row.root.classList.toggle("marked", latent === k && state.markRows);
}

function resetLatent(k) {
  halt();
  select(k);
  setLatent(k, state.posterior.mean[k]);
}

function toggleHold(k) {
  if (!state.held.delete(k)) state.held.add(k);
  refreshRest();
}

// ---- Animation ----

function toggleAnimation(k) {
  if (state.animated === k) return halt();
  select(k);
  state.animated = k;
  byId("stop").classList.remove("hidden");
  const from = Math.asin(clamp(state.z[k] / 3, -1, 1)), started = performance.now();
  const step = () => {
    if (state.animated !== k) return;
    setLatent(k, 3 * Math.sin(from + (performance.now() - started) / 700));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

function halt() {
  if (state.animated === null) return;
  state.animated = null;
  byId("stop").classList.add("hidden");
  refreshRest();
}

// ---- The chosen latent ----

let latentParts = null;

function drawLatent() {
  if (!latentParts) latentParts = buildLatent();
  const k = state.selected, { mean, logvar } = state.posterior, sigma = Math.exp(logvar[k] / 2);
  const { plot, handle } = latentParts;
  latentParts.title.textContent = `z${subscript(k)}`;
  latentParts.more.textContent = told(k);
  const top = Math.min(4, Math.max(0.45, 0.42 / sigma));
  plot.rescale([-state.reach, state.reach], [0, top * 1.08]);
  const group = plot.clear("densities"), points = (m, lv) => {
    const s = Math.exp(lv / 2), at = [];
    for (let i = -200; i <= 200; i++) at.push((state.reach * i) / 200);
    for (let i = -40; i <= 40; i++) at.push(m + (s * i) / 10);
    return at.filter((v) => Math.abs(v) <= state.reach).sort((a, b) => a - b).map((v) => [v, Math.min(top, Math.exp(logNormal(v, m, lv)))]);
  };
  group.append(plot.area(points(mean[k], logvar[k])), plot.curve(points(0, 0), "of-prior"), plot.curve(points(mean[k], logvar[k]), "of-posterior"));
  plot.layer("handles").parentNode.append(plot.layer("handles"));
  handle.element.setAttribute("aria-label", `z of latent ${k}`);
  const terms = klStandardTerms(mean[k], logvar[k]), kl = klStandard(mean[k], logvar[k]);
  const size = doubled(Math.max(...Object.values(terms).map(Math.abs), kl));
  latentParts.bars.set([
    { name: "½ (σ² − 1)", value: terms.variance, kind: "variance-term" },
    { name: "½ μ²", value: terms.mean, kind: "mean-term" },
    { name: "−½ ln σ²", value: terms.logvar, kind: "logvar-term" },
    { name: "KL, their sum", value: kl, kind: "total" },
  ], -size / 2, size);
  latentParts.why.textContent = `${why(terms)} The bars end at ${shown(size, size < 1 ? 2 : 0)} nats.`;
  const s2 = Math.exp(logvar[k]);
  latentParts.formula.replaceChildren(
    el("span", { text: `KL = ½ [ σ² + μ² − 1 − ln σ² ]` }), " ", el("span", { text: `= ½ [ ` }),
    el("span", { class: "ink-variance-term", text: shown(s2, 4) }), " + ",
    el("span", { class: "ink-mean-term", text: shown(mean[k] ** 2, 4) }), el("span", { class: "ink-variance-term", text: " − 1 " }),
    el("span", { class: "ink-logvar-term", text: `${logvar[k] > 0 ? "−" : "+"} ${shown(Math.abs(logvar[k]), 4)}` }),
    el("span", { text: ` ] = ${shown(kl, 4)} nats, for μ = ${shown(mean[k])}, σ = ${shown(sigma, 3)}` }));
  drawLatentNumbers();
  inBackground("strip", drawStrip());
}

/** The end of a scale of bars: 0.25, 0.5, 1, 2, 4 … It changes rarely, so that images can be compared. */
const doubled = (value) => 2 ** Math.max(-2, Math.ceil(Math.log2(value + 1e-9)));

/** What costs most in the KL of a latent. */
function why({ variance, mean, logvar }) {
  if (variance + mean + logvar < DEAD_BELOW) return "The posterior is the prior: the latent says nothing of this image.";
  if (mean > Math.abs(logvar + variance)) return "Most of it is the price of a mean far from 0.";
  return logvar > 0 ? "Most of it is the price of a narrow posterior." : "Most of it is the price of a wide posterior.";
}

/** The rate of a latent over the test set, and the factor that it tells most of. */
function told(k) {
  const words = [`rate ${shown(model().ratePerLatent[k])} nats: its mean KL over the test set`];
  const { factors } = model();
  if (factors) {
    const row = factors.matrix[k], best = row.indexOf(Math.max(...row));
    if (row[best] > 0.05) words.push(`of the factors it tells most about ${factors.names[best]}: ${shown(row[best])} nats`);
  }
  return words.join("; ");
}

function buildLatent() {
  const plot = makePlot({ width: 340, height: 165, x: [-4, 4], y: [0, 1], xTicks: 8, yTicks: 0, margin: { left: 10 }, label: "posterior and prior of the chosen latent" });
  const bars = makeBars(3), formula = el("p", { class: "formula number" }), strip = el("div", { class: "strip" });
  const why = el("p", { class: "soft caption" }), title = el("h3"), more = el("small", { class: "soft" });
  const cells = STRIP.map((value) => {
    const canvas = el("canvas"), button = el("button", { type: "button", "aria-label": `set the latent to ${value}`, on: { click: () => { halt(); setLatent(state.selected, value); } } }, canvas, shown(value, 0));
    strip.append(button);
    return canvas;
  });
  const key = el("p", { class: "caption soft" }, el("span", { class: "key-prior", text: "prior N(0, 1)" }), " and ", el("span", { class: "ink-rate", text: "posterior q(z|x)" }), ". The dot is z.");
  byId("latent").replaceChildren(
    el("div", { class: "heading wide" }, title, more),
    el("div", {}, plot.root, key), el("div", {}, bars.root, why), formula, el("div", { class: "wide" }, strip));
  formula.classList.add("wide");
  const handle = addHandle(plot, { x: 0, y: 0, along: "x", label: "z", moved: ({ x }) => { halt(); setLatent(state.selected, x); } });
  handle.element.addEventListener("keydown", (event) => actByKey(state.selected, event));
  return { plot, bars, why, formula, title, more, cells, handle };
}

function drawLatentNumbers() {
  if (!latentParts) return;
  latentParts.plot.clear("present").append(latentParts.plot.line(state.z[state.selected], 0, state.z[state.selected], latentParts.plot.domain.y[1], "axis"));
  latentParts.handle.put(state.z[state.selected], 0);
}

function* drawStrip() {
  const k = state.selected, z = Float32Array.from(state.z);
  for (const [i, value] of STRIP.entries()) {
    z[k] = value;
    paint(latentParts.cells[i], pixelMeans(model(), decode(model(), z)));
    yield;
  }
}

// ---- What beta does ----

const nameOf = (one) => (models.filter(({ beta }) => beta === one.beta).length > 1 ? one.name : `β = ${one.beta}`);

function buildModels() {
  const group = byId("models");
  for (const part of [group, byId("compare"), byId("compare-caption")]) part.classList.toggle("hidden", models.length < 2);
  byId("views").classList.toggle("single", models.length < 2);
  if (models.length < 2) byId("title-beta").textContent = "Rate and distortion";
  models.forEach((one, i) => group.append(el("label", { title: one.name },
    el("input", { type: "radio", name: "model", value: i, checked: i === 0 ? "" : null, on: { change: () => { halt(); setModel(i); } } }),
    el("span", { text: nameOf(one) }))));
  const cells = models.map((one, i) => {
    const canvas = el("canvas", { class: "picture" }), words = el("span");
    const button = el("button", { type: "button", "aria-pressed": "false", on: { click: () => choose(i) } }, canvas, el("strong", { text: nameOf(one) }), words);
    byId("compare").append(button);
    return { canvas, words, button };
  });
  return cells;
}

function choose(i) {
  const input = byId("models").querySelectorAll("input")[i];
  input.checked = true;
  halt();
  setModel(i);
}

let compared = [];

function* compareModels() {
  const { x } = state;
  for (const [i, one] of models.entries()) {
    const posterior = encode(one, x), rate = rateOf(posterior);
    paint(compared[i].canvas, pixelMeans(one, decode(one, posterior.mean)));
    compared[i].button.setAttribute("aria-pressed", i === state.model);
    yield null;
    const distortion = yield* expectedDistortion(one, x, posterior, DRAWS);
    compared[i].words.replaceChildren(el("span", { class: "ink-distortion", text: `distortion ${shown(distortion, 1)}` }), el("span", { class: "ink-rate", text: `rate ${shown(rate, 1)}` }));
  }
}

/** Rate and distortion over the test set, with the line of slope -beta through the present model. */
function drawTradeoff() {
  const known = models.map((one, i) => ({ i, beta: one.beta, name: nameOf(one), ...one.test })).filter((one) => one.rate !== undefined && one.distortion !== undefined);
  const figure = byId("tradeoff");
  if (!known.length) return figure.replaceChildren();
  const span = (values, least) => { const low = Math.min(...values), high = Math.max(...values), pad = Math.max(least, 0.18 * (high - low)); return [low - pad, high + pad]; };
  const xs = span([...known.map(({ rate }) => rate)], 3);
  const plot = makePlot({ width: 440, height: 300, x: [Math.max(0, xs[0]), xs[1]], y: span(known.map(({ distortion }) => distortion), 8), xLabel: "rate, nats", yLabel: "distortion, nats", yTicks: 7, margin: { left: 66 }, label: "rate and distortion over the test set" });
  const group = plot.layer("points"), line = [...known].sort((a, b) => a.rate - b.rate);
  if (known.length > 2) group.append(svg("path", { d: plot.path(line.map(({ rate, distortion }) => [rate, distortion])), class: "joined curve" }));
  for (const { i, rate, distortion, beta, name } of known) {
    const present = i === state.model;
    if (present) {
      const [x0, x1] = plot.domain.x;
      const inside = ([a, b]) => b >= plot.domain.y[0] && b <= plot.domain.y[1] && a >= x0 && a <= x1;
      const steps = Array.from({ length: 201 }, (_, n) => x0 + ((x1 - x0) * n) / 200).map((a) => [a, distortion - beta * (a - rate)]).filter(inside);
      group.append(svg("path", { d: plot.path(steps), class: "slope", fill: "none" }));
    }
    group.append(plot.dot(rate, distortion, present ? 7 : 5, present ? "present" : "point"));
    group.append(svg("text", { x: plot.x(rate) + 10, y: plot.y(distortion) - 8, text: name, class: present ? "on" : "" }));
  }
  figure.replaceChildren(plot.root, el("figcaption", { text: `Means over the test set; the axes do not begin at 0. Every point of the dashed line has the same loss, distortion + β · rate, as the chosen model.${models.length > 1 ? " Each model should be the best at its own β: no other one below its line." : ""}` }));
}

function describeModel() {
  const one = model(), active = one.ratePerLatent.filter((rate) => rate >= DEAD_BELOW).length;
  const test = one.test.elbo === undefined ? "" : ` Test set: ELBO ${shown(one.test.elbo)} = −(distortion ${shown(one.test.distortion)} + rate ${shown(one.test.rate)}) nats an image.`;
  byId("about").textContent = `${models.length > 1 ? `${one.name}: ` : ""}trained with β = ${one.beta}; ${active} of ${one.latents} latents are used.${test}`;
  const [kl, pixel] = one.errors;
  byId("exactness").textContent = `Encoder and decoder run in this page: nothing is loaded, and nothing leaves it. Rounding the weights changed pixels by ${pixel.toExponential(1)} at most, and the KL of a latent by ${kl.toExponential(1)} nats, in a comparison with torch.`;
}

// ---- The map ----

function buildMapChoices() {
  const { ratePerLatent } = model(), [first, second] = [state.order[0], state.order[1] ?? state.order[0]];
  const options = () => state.order.map((k) => el("option", { value: k, text: `z${subscript(k)}, ${ratePerLatent[k] < DEAD_BELOW ? `below ${DEAD_BELOW}` : shown(ratePerLatent[k])} nats` }));
  byId("map-x").replaceChildren(...options(), ...(model().latents > 2 ? [el("option", { value: "pca", text: "principal components" })] : []));
  byId("map-y").replaceChildren(...options());
  byId("map-x").value = first;
  byId("map-y").value = second;
  const colours = [...(data.map.labels && data.labelFactor === null ? [["label", "label"]] : []), ...(data.map.factors ?? []).map(({ name }, i) => [i, name]), ["none", "none"]];
  if (byId("map-colour").options.length !== colours.length) byId("map-colour").replaceChildren(...colours.map(([value, text]) => el("option", { value, text })));
  placeMap();
}

/** The two directions of the map: state.plane = {origin, across, up}, unit vectors in the space of z. */
function placeMap() {
  const { latents, points } = model(), usesPca = byId("map-x").value === "pca";
  byId("map-y").parentElement.classList.toggle("hidden", usesPca);
  const unit = (k) => Float64Array.from({ length: latents }, (_, i) => (i === k ? 1 : 0));
  if (usesPca) {
    const { mean, axes } = principalAxes(points, latents);
    state.plane = { origin: mean, across: axes[0], up: axes[1] };
    state.mapAxes = [];
  } else {
    if (byId("map-x").value === byId("map-y").value && model().latents > 1) byId("map-y").value = state.order.find((k) => String(k) !== byId("map-x").value);
    state.mapAxes = [Number(byId("map-x").value), Number(byId("map-y").value)];
    const [across, up] = state.mapAxes.map(unit);
    state.plane = { origin: new Float64Array(latents), across, up: state.mapAxes[0] === state.mapAxes[1] ? across : up };
  }
  state.places = Array.from({ length: data.map.count }, (_, i) => onPlane(points.subarray(i * latents, (i + 1) * latents)));
  state.mapReach = Math.max(3.2, ...state.places.flat().map(Math.abs)) * 1.04;
  byId("map-caption").textContent = `Posterior means of ${data.map.count} images. The cross is z. Click to go there: ${usesPca ? "z moves along the two components, and what is across them stays" : "the other latents stay"}, and so does what is held.`;
  state.manifold = null;
  state.manifoldIsOld = true;
  buildLegend();
  refreshRest();
}

const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);

function onPlane(z) {
  const { origin, across, up } = state.plane, away = Array.from(z, (v, i) => v - origin[i]);
  return [dot(across, away), dot(up, away)];
}

/** z moved within the plane of the map to this place; what is orthogonal to the plane stays. */
function fromPlane([toX, toY]) {
  const { across, up } = state.plane, [x, y] = onPlane(state.z);
  return state.z.map((v, i) => v + (toX - x) * across[i] + (across === up ? 0 : (toY - y) * up[i]));
}

/** The mean of points, and the two directions of the largest variance, by power iteration. */
function principalAxes(points, latents) {
  const count = points.length / latents, mean = new Float64Array(latents);
  for (let i = 0; i < points.length; i++) mean[i % latents] += points[i] / count;
  const covariance = Array.from({ length: latents }, () => new Float64Array(latents));
  for (let n = 0; n < count; n++) for (let i = 0; i < latents; i++) for (let j = 0; j < latents; j++) {
    covariance[i][j] += ((points[n * latents + i] - mean[i]) * (points[n * latents + j] - mean[j])) / count;
  }
  const axes = [];
  for (let a = 0; a < 2; a++) {
    let axis = Float64Array.from({ length: latents }, (_, i) => 1 + ((i * 7 + a * 3) % 5) / 10);
    for (let step = 0; step < 300; step++) {
      let next = Float64Array.from(covariance, (row) => dot(row, axis));
      for (const other of axes) { const along = dot(other, next); next = next.map((v, i) => v - along * other[i]); }
      const length = Math.hypot(...next) || 1;
      axis = next.map((v) => v / length);
    }
    axes.push(axis);
  }
  return { mean, axes };
}

function colourOfPoint() {
  const choice = byId("map-colour").value;
  if (choice === "label") return { values: data.map.labels, names: labelName, ordered: false, levels: Math.max(...data.map.labels) + 1 };
  if (choice === "none" || choice === "") return null;
  const { values, ordered, levels } = data.map.factors[Number(choice)];
  return { values, ordered, levels, names: (level) => String(level) };
}

/** The name of a label, which may be the level of a factor. */
function labelName(label) {
  if (data.labelNames) return data.labelNames[label];
  return data.labelFactor === null ? String(label) : `${data.labelFactor} ${label}`;
}

function colourOf({ ordered, levels }, value) {
  if (!ordered && levels <= CATEGORIES.length) return CATEGORIES[value % CATEGORIES.length];
  const t = levels > 1 ? value / (levels - 1) : 0;
  return ordered ? `hsl(${260 - 215 * t} 75% ${56 + 4 * t}%)` : `hsl(${360 * (value / levels)} 60% 52%)`;
}

function buildLegend() {
  const colours = colourOfPoint(), legend = byId("legend");
  if (!colours) return legend.replaceChildren();
  const all = [...new Set(colours.values)].sort((a, b) => a - b);
  const few = all.length <= 20 ? all : [all[0], all[Math.floor(all.length / 2)], all[all.length - 1]];
  legend.replaceChildren(...few.map((value) => {
    const spot = el("i", { "aria-hidden": "true" });
    spot.style.background = colourOf(colours, value);
    return el("span", {}, spot, colours.names(value));
  }));
}

const drawMap = onceAFrame(() => {
  const canvas = byId("map"), side = Math.round(canvas.clientWidth * Math.min(2, devicePixelRatio || 1));
  if (!side) return;
  if (canvas.width !== side || canvas.height !== side) [canvas.width, canvas.height] = [side, side];
  const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement), ink = (name) => style.getPropertyValue(name);
  const place = ([x, y]) => [(side * (x / state.mapReach + 1)) / 2, (side * (1 - y / state.mapReach)) / 2];
  const unit = side / 440;
  context.fillStyle = ink("--card");
  context.fillRect(0, 0, side, side);
  const behind = byId("manifold").checked && state.manifold;
  if (behind) {
    context.imageSmoothingEnabled = false;
    const [left, top] = place([-3 - 3 / (TILES - 1), 3 + 3 / (TILES - 1)]), tile = (side * (6 / (TILES - 1))) / state.mapReach / 2;
    for (const { canvas: picture, column, line } of state.manifold) context.drawImage(picture, left + column * tile, top + line * tile, Math.ceil(tile), Math.ceil(tile));
  }
  /** Text on whatever is behind it. */
  const label = (text, atX, atY) => {
    context.strokeStyle = ink("--card");
    context.lineWidth = 4 * unit;
    context.lineJoin = "round";
    context.strokeText(text, atX, atY);
    context.fillStyle = ink("--ink");
    context.fillText(text, atX, atY);
    context.strokeStyle = ink("--rule");
    context.lineWidth = unit;
  };
  context.strokeStyle = ink("--rule");
  context.font = `${12 * unit}px system-ui, sans-serif`;
  context.lineWidth = unit;
  for (const tick of ticks(-state.mapReach, state.mapReach, 8)) {
    const [x, y] = place([tick, tick]);
    if (!behind) for (const [x1, y1, x2, y2] of [[x, 0, x, side], [0, y, side, y]]) { context.beginPath(); context.moveTo(x1, y1); context.lineTo(x2, y2); context.stroke(); }
    if (x > 25 * unit && x < side - 40 * unit) label(tickText(tick), x + 3 * unit, side - 5 * unit);
    if (y > 30 * unit && y < side - 25 * unit) label(tickText(tick), 4 * unit, y - 3 * unit);
  }
  const names = state.mapAxes.length ? state.mapAxes.map((k) => `z${subscript(k)}`) : ["first component", "second"];
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  context.textAlign = "right";
  label(names[0], side - 5 * unit, side - 5 * unit);
  context.textAlign = "left";
  label(names[1], 4 * unit, 15 * unit);
  const colours = colourOfPoint();
  context.globalAlpha = behind ? 0.85 : 0.9;
  state.places.forEach((point, i) => {
    const [x, y] = place(point);
    context.fillStyle = colours ? colourOf(colours, colours.values[i]) : ink("--soft");
    context.beginPath();
    context.arc(x, y, (behind ? 2 : 3) * unit, 0, 2 * Math.PI);
    context.fill();
  });
  context.globalAlpha = 1;
  const [x, y] = place(onPlane(state.z));
  for (const [colour, wide] of [[ink("--card"), 7], [ink("--ink"), 3]]) {
    context.strokeStyle = colour;
    context.lineWidth = wide * unit;
    context.beginPath();
    context.moveTo(x - 11 * unit, y);
    context.lineTo(x + 11 * unit, y);
    context.moveTo(x, y - 11 * unit);
    context.lineTo(x, y + 11 * unit);
    context.stroke();
  }
});

function* drawManifold() {
  const found = [];
  for (let line = 0; line < TILES; line++) for (let column = 0; column < TILES; column++) {
    const at = [(6 * column) / (TILES - 1) - 3, 3 - (6 * line) / (TILES - 1)], canvas = el("canvas");
    paint(canvas, pixelMeans(model(), decode(model(), fromPlane(at))));
    found.push({ canvas, column, line });
    yield;
  }
  state.manifold = found;
  drawMap();
}

function goOnMap(place) {
  halt();
  const z = fromPlane(place.map((v) => clamp(v, -state.mapReach, state.mapReach)));
  moveTo(z.map((v) => clamp(v, -state.reach, state.reach)));
}

// ---- Factors ----

function buildMatrix() {
  const { factors } = model();
  byId("factors").classList.toggle("hidden", !factors);
  if (!factors) return;
  const largest = Math.max(1e-9, ...factors.matrix.flat());
  const head = el("tr", {}, el("th"), ...factors.names.map((name) => el("th", { scope: "col", text: name })));
  const lines = state.order.map((k) => el("tr", { "data-latent": k, class: model().ratePerLatent[k] < DEAD_BELOW ? "soft" : null, on: { pointerenter: () => { state.markRows = true; mark(k); }, pointerleave: () => { state.markRows = false; mark(null); } } },
    el("th", { scope: "row" }, el("button", { type: "button", text: `z${subscript(k)}`, "aria-label": `show latent ${k}`, on: { click: () => { select(k); rows.get(k).root.scrollIntoView({ block: "nearest" }); } } })),
    ...factors.matrix[k].map((value) => {
      const shade = el("i");
      shade.style.opacity = (0.5 * value) / largest; // with more, the number would be hard to read
      return el("td", {}, shade, shown(value));
    })));
  byId("matrix").replaceChildren(el("thead", {}, head), el("tbody", {}, ...lines));
}

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

// ---- Begin ----

function prepareControls() {
  const draw = (z) => { halt(); moveTo(z); };
  byId("to-mean").addEventListener("click", () => draw(state.posterior.mean));
  byId("to-sample").addEventListener("click", () => draw(state.posterior.mean.map((m, k) => m + Math.exp(state.posterior.logvar[k] / 2) * normal(Math.random))));
  byId("to-prior").addEventListener("click", () => draw(state.z.map(() => normal(Math.random))));
  byId("stop").addEventListener("click", halt);
  for (const id of ["map-x", "map-y"]) byId(id).addEventListener("change", placeMap);
  byId("map-colour").addEventListener("change", () => { buildLegend(); drawMap(); });
  byId("manifold").addEventListener("change", () => { state.manifoldIsOld = true; refreshRest(); });
  const map = byId("map");
  onDrag(map, (event) => {
    const box = map.getBoundingClientRect();
    goOnMap([((event.clientX - box.left) / box.width) * 2 - 1, 1 - ((event.clientY - box.top) / box.height) * 2].map((v) => v * state.mapReach));
  });
  map.addEventListener("keydown", (event) => {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!direction) return;
    event.preventDefault();
    const [x, y] = onPlane(state.z), step = event.shiftKey ? 0.5 : 0.1;
    goOnMap([x + step * direction[0], y + step * direction[1]]);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") halt(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
  addEventListener("resize", drawMap);
}

async function begin() {
  if (typeof DecompressionStream === "undefined") throw new Error("This page needs a browser of 2023 or later.");
  const images = readImages(await carriedBytes("images"));
  images.forEach((x, i) => wall.push({ x, label: data.images.labels ? data.images.labels[i] : null }));
  for (const [i, plain] of data.models.entries()) models.push(readModel(plain, await carriedBytes(`model${i}`), data.shape, data.map.count));
  const reach = Math.ceil(Math.max(4, ...models.map(({ points }) => points.reduce((largest, v) => Math.max(largest, Math.abs(v)), 0))));
  state = { reach, model: 0, x: wall[0].x, name: "", wallIndex: 0, held: new Set(), animated: null, latencies: [], expected: null, markRows: false, own: null };
  byId("difference-caption").textContent = channels === 1 ? "Orange: x has more. Blue: the decoded image has more." : "Grey: no difference.";
  for (const id of ["original", "decoded", "small-original", "difference"]) byId(id).style.aspectRatio = `${width} / ${height}`;
  compared = buildModels();
  wallButtons = buildWall();
  prepareSources();
  prepareControls();
  setModel(0);
  chooseWall(0);
  // For the console of the browser, and for tests: the numbers behind the pixels.
  window.explorer = { data, models, wall, encode, decode, get state() { return state; }, pixels: (one, z) => pixelMeans(one, decode(one, z)), distortion: (one, x, z) => distortionOf(one, x, decode(one, z)) };
  document.documentElement.dataset.ready = "true";
}

begin().catch((error) => {
  byId("failure").textContent = error.message;
  byId("failure").classList.remove("hidden");
  throw error;
});
