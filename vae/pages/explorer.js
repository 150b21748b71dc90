// The explorer: an image x, its posterior q(z|x), a point z, and the picture p(x|z), for one or several models.

const DEAD_BELOW = 0.01; // nats: a latent with less rate is collapsed
const STRIP = [-3, -2, -1, 0, 1, 2, 3];
const DRAWS = 32; // of q(z|x), for the mean of the distortion
const REST = 250; // milliseconds that the pointer rests on a row before its latent is shown
const LEAST_SCALE = 0.25; // nats: of the bars
const TILES = 13; // of the manifold, in each direction
const CATEGORIES = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#9c6bce", "#8c6d4f", "#e377c2", "#7f8791", "#b6a100", "#17a2b8"];

const data = carried("explorer");
const [channels, height, width] = data.shape;
const pixels = channels * height * width;
const models = [];
const wall = []; // {x, label}
let state; // what is chosen: see `begin`

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
  if (state.manifoldIsOld && byId("manifold").checked && state.animated === null) { state.manifoldIsOld = false; inBackground("manifold", drawManifold()); }
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
  while (waiting.size && performance.now() < end) {
    for (const [name, steps] of [...waiting]) { // one step of each, so that none waits for the end of another
      if (waiting.get(name) === steps && steps.next().done) waiting.delete(name);
    }
  }
  document.documentElement.dataset.busy = String(waiting.size > 0);
  working = waiting.size > 0;
  if (working) setTimeout(work, 4);
}

// ---- Numbers ----

/** Beta with few digits: one that was searched for has many. */
const betaText = (beta) => String(Number(beta.toPrecision(4)));

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
  const { beta, minimised } = model(), rate = rateOf(state.posterior);
  const distortion = distortionOf(model(), state.x, state.output), expected = state.expected;
  const ends = [0, distortion, ...(expected === null ? [] : [expected, expected + rate, ...(minimised ? [expected + beta * rate] : [])])];
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
    if (minimised && beta !== 1) children.push(stack(`loss, β = ${betaText(beta)}`, mean("β · rate", beta)));
    children.push(stack(minimised && beta === 1 ? "loss = −ELBO" : "−ELBO", mean("rate", 1)));
    const words = [`${minimised ? "Loss and ELBO take" : "The ELBO takes"} the mean distortion over ${DRAWS} draws of q(z|x), and so does not depend on this z.`];
    if (model().likelihood.kind === "bernoulli" && state.x.every((v) => v === 0 || v === 1)) {
      words.push(`−ELBO = ${shown(expected + rate)} nats = ${shown((expected + rate) / Math.LN2 / pixels, 3)} bits per ${channels === 1 ? "pixel" : "channel of a pixel"}.`);
    }
    children.push(el("p", { class: "soft caption", text: words.join(" ") }));
  }
  byId("numbers").replaceChildren(...children);
  byId("numbers").dataset.values = JSON.stringify({ distortion, rate, beta, expected });
}
