// The explorer: the rows of latents, their animation, and the chosen latent.

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
  const largest = roundScale(Math.max(...[...mean].map((m, k) => klStandard(m, logvar[k]))), LEAST_SCALE);
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
  const size = roundScale(Math.max(...Object.values(terms).map(Math.abs), kl), LEAST_SCALE);
  latentParts.bars.set([
    { name: "½ (σ² − 1)", value: terms.variance, kind: "variance-term" },
    { name: "½ μ²", value: terms.mean, kind: "mean-term" },
    { name: "−½ ln σ²", value: terms.logvar, kind: "logvar-term" },
    { name: "KL, their sum", value: kl, kind: "total" },
  ], -size / 2, size);
  latentParts.why.textContent = `${why(terms)} The bars end at ${shown(size, size < 1 ? 2 : 0)} ${size === 1 ? "nat" : "nats"}.`;
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
