// The explorer: the map of posterior means, and the matrix of latents and factors.

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

/** By what the points are coloured: their values, the names of these, and the place of each among the distinct ones. */
function colourOfPoint() {
  const choice = byId("map-colour").value;
  if (choice === "none" || choice === "") return null;
  const isLabel = choice === "label";
  const { values, ordered } = isLabel ? { values: data.map.labels, ordered: false } : data.map.factors[Number(choice)];
  const distinct = [...new Set(values)].sort((a, b) => a - b);
  return { values, ordered, distinct, places: new Map(distinct.map((value, i) => [value, i])), names: isLabel ? labelName : String };
}

/** The name of a label, which may be the level of a factor. */
function labelName(label) {
  if (data.labelNames) return data.labelNames[label];
  return data.labelFactor === null ? String(label) : `${data.labelFactor} ${label}`;
}

function colourOf({ ordered, distinct, places }, value) {
  const place = places.get(value), count = distinct.length;
  if (!ordered && count <= CATEGORIES.length) return CATEGORIES[place];
  const t = count > 1 ? place / (count - 1) : 0;
  return ordered ? `hsl(${260 - 215 * t} 75% ${56 + 4 * t}%)` : `hsl(${(360 * place) / count} 60% 52%)`;
}

function buildLegend() {
  const colours = colourOfPoint(), legend = byId("legend");
  if (!colours) return legend.replaceChildren();
  const all = colours.distinct;
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
