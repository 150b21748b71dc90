// The explorer: one image under every model, and their rates and distortions.

// ---- What beta does ----

const nameOf = (one) => (models.filter(({ beta }) => beta === one.beta).length > 1 ? one.name : `β = ${betaText(one.beta)}`);

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
  const follows = models.every(({ minimised }) => minimised);
  for (const { i, rate, distortion, beta, name } of known) {
    const present = i === state.model;
    if (present && follows) {
      const [x0, x1] = plot.domain.x;
      const inside = ([a, b]) => b >= plot.domain.y[0] && b <= plot.domain.y[1] && a >= x0 && a <= x1;
      const steps = Array.from({ length: 201 }, (_, n) => x0 + ((x1 - x0) * n) / 200).map((a) => [a, distortion - beta * (a - rate)]).filter(inside);
      group.append(svg("path", { d: plot.path(steps), class: "slope", fill: "none" }));
    }
    group.append(plot.dot(rate, distortion, present ? 7 : 5, present ? "present" : "point"));
    group.append(svg("text", { x: plot.x(rate) + 10, y: plot.y(distortion) - 8, text: name, class: present ? "on" : "" }));
  }
  const words = ["Means over the test set; the axes do not begin at 0."];
  if (follows) words.push("Every point of the dashed line has the same loss, distortion + β · rate, as the chosen model.");
  if (follows && models.length > 1) words.push("Each model should be the best at its own β: no other one below its line.");
  if (!follows) words.push("The loss of the training was another than distortion + β · rate, so there is no line of equal loss.");
  figure.replaceChildren(plot.root, el("figcaption", { text: words.join(" ") }));
}

function describeModel() {
  const one = model(), active = one.ratePerLatent.filter((rate) => rate >= DEAD_BELOW).length;
  const test = one.test.elbo === undefined ? "" : ` Test set: ELBO ${shown(one.test.elbo)} = −(distortion ${shown(one.test.distortion)} + rate ${shown(one.test.rate)}) nats an image.`;
  byId("about").textContent = `${models.length > 1 ? `${one.name}: ` : ""}trained with β = ${betaText(one.beta)}; ${active} of ${one.latents} latents are used.${test}`;
  const [kl, pixel] = one.errors;
  byId("exactness").textContent = `Encoder and decoder run in this page: nothing is loaded, and nothing leaves it. On test images, unusual images and draws of z, rounding the weights changed pixels by ${pixel.toExponential(1)} of their range at most, and the KL of a latent by ${kl.toExponential(1)} nats, beside torch.`;
}
