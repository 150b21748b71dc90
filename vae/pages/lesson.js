// The figures of the lesson, in the order of the page. Each has a state, draws it, and changes it by its handles.

const references = carried("references-of-torch");
const curveData = carried("curve");
const ceilingData = carried("ceiling");

const SIGMA_FROM = 0.2;
const SIGMA_TO = 3;

const CHECKED = {
  klStandard, klStandardTerms, klStandardGradient, klNormal1d, klNormal2d, totalCorrelation2d, entropy, crossEntropy,
  klCategorical, mutualInformation, logSumExp, clamp, clampGradient, boundGradient, klStandardByExp32,
  klStandardByExpm132,
};

// ---- The formulas of this page beside torch's values ----

// The largest difference of one formula from its reference values, relative above 1. NaN counts as infinite.
function largestDifference({ name, arguments: calls, values, keys }) {
  let worst = 0;
  calls.forEach((call, i) => {
    const found = CHECKED[name](...call);
    const numbers = keys.length > 0 ? keys.map((key) => found[key]) : [found];
    const wanted = keys.length > 0 ? values[i] : [values[i]];
    numbers.forEach((number, j) => {
      const difference = Math.abs(number - wanted[j]) / Math.max(1, Math.abs(wanted[j]));
      worst = Math.max(worst, Number.isNaN(difference) ? Infinity : difference);
    });
  });
  return worst;
}

// Says at the top of the page how far the formulas are from torch.
function showCheck() {
  const line = byId("check");
  const results = references.map((reference) => ({ ...reference, worst: largestDifference(reference) }));
  const wrong = results.filter(({ worst, tolerated }) => !(worst <= tolerated));
  const exact = results.filter(({ tolerated }) => tolerated <= 1e-9);
  const points = sumOf(results.map(({ values }) => values.flat().length));
  const worst = Math.max(...exact.map((result) => result.worst));
  line.dataset.points = points;
  line.dataset.worst = worst;
  line.dataset.wrong = wrong.map(({ name }) => name).join(" ");
  line.classList.add(wrong.length === 0 ? "good" : "bad");
  line.textContent =
    wrong.length === 0
      ? `Checked just now in this browser: ${points} values of this page’s formulas against torch. ` +
        `Largest difference ${worst.toExponential(0).replace("-", "−")}.`
      : `These formulas of the page differ from torch: ${wrong.map(({ name }) => name).join(", ")}. Do not trust them.`;
}

// ---- Parts that several figures share ----

const densityOf = ({ mean, sigma }) => (x) => Math.exp(logNormal(x, mean, 2 * Math.log(sigma)));
const klOf = (p, q) => klNormal1d(p.mean, 2 * Math.log(p.sigma), q.mean, 2 * Math.log(q.sigma));
const rounded = (value, step) => Math.round(value / step) * step;
const pairs = (xs, f) => xs.map((x) => [x, f(x)]);

// Handles for the mean of a Gaussian, on its peak, and for its width, one sigma to the right.
function gaussianHandles(figure, plot, gaussian, name, className, [from, to] = [-4, 4]) {
  plot.handle({
    label: `Mean of ${name}`, className, from, to, step: [0.1, 0],
    at: () => [gaussian.mean, Math.min(densityOf(gaussian)(gaussian.mean), plot.y.to)],
    move: (x) => { gaussian.mean = clamp(rounded(x, 0.02), from, to); },
    said: () => `mean ${shown(gaussian.mean)}`,
  });
  plot.handle({
    label: `Standard deviation of ${name}`, className: `${className} width`, from: SIGMA_FROM, to: SIGMA_TO, step: [0.1, 0],
    at: () => [gaussian.mean + gaussian.sigma, Math.min(densityOf(gaussian)(gaussian.mean + gaussian.sigma), plot.y.to)],
    move: (x) => { gaussian.sigma = clamp(rounded(x - gaussian.mean, 0.02), SIGMA_FROM, SIGMA_TO); },
    said: () => `sigma ${shown(gaussian.sigma)}`,
    value: () => gaussian.sigma,
    put: (sigma) => { gaussian.sigma = sigma; },
  });
}

// The name of a curve above its peak.
function peakText(plot, gaussian, text, draw) {
  draw(gaussian.mean, Math.min(densityOf(gaussian)(gaussian.mean), plot.y.to * 0.94), text);
}

// The outline of a Gaussian in a plane at `times` standard deviations.
function ellipse({ mean, along, across, angle }, times) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return evenly(0, 2 * Math.PI, 121).map((turn) => {
    const [u, v] = [times * along * Math.cos(turn), times * across * Math.sin(turn)];
    return [mean[0] + c * u - s * v, mean[1] + s * u + c * v];
  });
}

// Sets one probability and scales the others, so that all sum to 1.
function withPart(p, i, value) {
  const others = sumOf(p) - p[i];
  const rest = 1 - value;
  return p.map((x, j) => (j === i ? value : others > 1e-12 ? (x * rest) / others : rest / (p.length - 1)));
}

// ---- 1. Definition ----

touchFigure("figure-definition", (figure) => {
  const p = { mean: -0.6, sigma: 0.9 };
  const q = { mean: 0.9, sigma: 1.3 };
  const state = { turned: false };
  const xs = evenly(-6, 6, 361);
  const upper = touchPlot(figure, { x: { from: -6, to: 6 }, y: { from: 0, to: 1, label: "density" }, label: "Densities", height: 14 });
  const [shapeP, shapeQ] = [upper.shape("of-p"), upper.shape("of-q")];
  const [curveP, curveQ] = [upper.curve("of-p"), upper.curve("of-q")];
  const nameP = upper.text("name of-p", { dy: -1.15 });
  const nameQ = upper.text("name of-q", { dy: -1.15 });
  gaussianHandles(figure, upper, p, "P", "of-p");
  gaussianHandles(figure, upper, q, "Q", "of-q");
  const lower = touchPlot(figure, { x: { from: -6, to: 6, label: "x" }, y: { from: -1, to: 1, label: "p ln(p/q)" }, label: "The integrand", height: 13 });
  const [above, below, line] = [lower.shape("positive"), lower.shape("negative"), lower.curve("integrand")];
  const buttons = touchButtons(figure, {
    "KL(P ‖ Q)": () => { state.turned = false; },
    "KL(Q ‖ P)": () => { state.turned = true; },
  });
  const bars = touchBars(figure, [
    { name: "area above zero", className: "positive" },
    { name: "area below zero", className: "negative" },
    { name: "their sum", className: "total" },
  ], { label: "Areas of the integrand" });
  const numbers = touchNumbers(figure, { forward: "KL(P ‖ Q), closed form", backward: "KL(Q ‖ P), closed form" });
  touchCaption(figure, "A handle on a peak moves the mean; the ring to its right moves the width. The area under the integrand is summed numerically.");
  return () => {
    const [first, second] = state.turned ? [q, p] : [p, q];
    [...buttons.children].forEach((button, i) => button.setAttribute("aria-pressed", (i === 1) === state.turned));
    for (const [gaussian, curve, shape] of [[p, curveP, shapeP], [q, curveQ, shapeQ]]) {
      const points = pairs(xs, densityOf(gaussian));
      curve(points);
      shape([[-6, 0], ...points, [6, 0]]);
    }
    peakText(upper, p, "P", nameP);
    peakText(upper, q, "Q", nameQ);
    const [lvFirst, lvSecond] = [2 * Math.log(first.sigma), 2 * Math.log(second.sigma)];
    const integrand = (x) => {
      const logDensity = logNormal(x, first.mean, lvFirst);
      return Math.exp(logDensity) * (logDensity - logNormal(x, second.mean, lvSecond));
    };
    const points = pairs(xs, integrand);
    const top = roundScale(Math.max(...points.map(([, y]) => y)) * 1.05, 0.5);
    const bottom = -roundScale(Math.max(0, -Math.min(...points.map(([, y]) => y))) * 1.05, 0.25);
    const label = state.turned ? "q ln(q/p)" : "p ln(p/q)";
    if (top !== lower.y.to || bottom !== lower.y.from || label !== lower.y.label) {
      Object.assign(lower.y, { from: bottom, to: top, label });
      lower.drawAxes();
    }
    line(points);
    above([[-6, 0], ...points.map(([x, y]) => [x, Math.max(0, y)]), [6, 0]]);
    below([[-6, 0], ...points.map(([x, y]) => [x, Math.min(0, y)]), [6, 0]]);
    const [from, to] = [first.mean - 12 * first.sigma, first.mean + 12 * first.sigma];
    const positive = integral((x) => Math.max(0, integrand(x)), from, to, 4000);
    const negative = integral((x) => Math.min(0, integrand(x)), from, to, 4000);
    const areas = addingUp([positive, negative], 1);
    bars([...areas, sumOf(areas)]);
    numbers({ forward: shown(klOf(p, q), 4), backward: shown(klOf(q, p), 4) });
  };
});

// ---- 2. Four properties ----

touchFigure("figure-nonnegative", (figure) => {
  const state = { t: 2.6, tried: 0, least: Infinity };
  const plot = touchPlot(figure, { x: { from: 0, to: 5, label: "t" }, y: { from: -3, to: 4 }, label: "t minus 1 and ln t", height: 16 });
  const ts = evenly(0.005, 5, 300);
  const gap = plot.shape("positive");
  const [line, log, now] = [plot.curve("of-p"), plot.curve("of-q"), plot.curve("gap")];
  const nameLine = plot.text("name of-p", { anchor: "end", dx: -0.6, dy: -0.3 });
  const nameLog = plot.text("name of-q", { anchor: "end", dy: 1.2 });
  plot.handle({
    label: "t", step: [0.1, 0], from: 0.05, to: 5,
    at: () => [state.t, state.t - 1],
    move: (x) => { state.t = clamp(rounded(x, 0.01), 0.05, 5); },
    said: () => `t ${shown(state.t)}, gap ${shown(state.t - 1 - Math.log(state.t))}`,
  });
  const numbers = touchNumbers(figure, { t: "t", line: "t − 1", log: "ln t", gap: "gap" });
  touchButtons(figure, {
    "Search 10\u00a0000 random pairs": () => {
      for (let i = 0; i < 10000; i += 1) {
        const near = Math.random() ** 3; // many pairs are almost equal, where a negative KL would be closest
        const [mean, logvar] = [4 * Math.random() - 2, 4 * Math.random() - 2];
        const kl = klNormal1d(mean, logvar, mean + near * (Math.random() - 0.5), logvar + near * (Math.random() - 0.5));
        state.least = Math.min(state.least, kl);
      }
      state.tried += 10000;
    },
  });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "The two curves touch at t = 1 and never cross. Search for a negative KL as long as you like.");
  return () => {
    const { t } = state;
    gap([...pairs(ts, (at) => at - 1), ...pairs([...ts].reverse(), Math.log)]);
    line(pairs(ts, (at) => at - 1));
    log(pairs(ts, Math.log));
    now([[t, Math.log(t)], [t, t - 1]]);
    nameLine(4.4, 3.4, "t − 1");
    nameLog(4.9, Math.log(4.9), "ln t");
    numbers({ t: shown(t), line: shown(t - 1), log: shown(Math.log(t)), gap: shown(t - 1 - Math.log(t), 3) });
    if (state.tried === 0) verdict("Nothing searched yet.");
    else if (state.least >= 0) verdict(`${grouped(state.tried)} pairs of Gaussians, some of them almost equal. So the smallest KL is near zero: ${smallText(state.least)}. None is negative.`, "good");
    else verdict(`A negative KL: ${smallText(state.least)}. That is a rounding error of float64, or a fault of this page.`, "bad");
  };
});

touchFigure("figure-equal", (figure) => {
  const q = { mean: 1, sigma: 1.5 };
  const plot = touchPlot(figure, { x: { from: -3, to: 3, label: "mean of Q" }, y: { from: 0, to: 4, label: "KL(P ‖ Q)" }, label: "KL over the mean of Q", height: 15 });
  const p = { mean: 0, sigma: 1 };
  const xs = evenly(-3, 3, 201);
  const faint = plot.curve("faint");
  const curve = plot.curve("of-q");
  plot.handle({
    label: "Mean of Q", className: "of-q", step: [0.1, 0],
    at: () => [q.mean, Math.min(klOf(p, q), plot.y.to)],
    move: (x) => { q.mean = clamp(rounded(x, 0.1), -3, 3); },
    said: () => `mean ${shown(q.mean, 1)}, KL ${shown(klOf(p, q), 3)}`,
  });
  touchSlider(figure, {
    label: "σ of Q", from: 0.4, to: 3, step: 0.1, get: () => q.sigma, set: (value) => { q.sigma = value; },
    said: () => shown(q.sigma, 1),
  });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "P is N(0, 1). The faint curve has σ = 1. Find the zero.");
  return () => {
    faint(pairs(xs, (mean) => klOf(p, { mean, sigma: 1 })));
    curve(pairs(xs, (mean) => klOf(p, { mean, sigma: q.sigma })));
    const kl = klOf(p, q);
    const equal = Math.abs(q.mean) < 1e-9 && Math.abs(q.sigma - 1) < 1e-9;
    verdict(equal ? `KL(P ‖ Q) = ${shown(kl, 3)}: Q equals P.` : `KL(P ‖ Q) = ${shown(kl, 3)}, above zero: Q is not P.`, equal ? "good" : "");
  };
});

touchFigure("figure-symmetric", (figure) => {
  const modes = [{ mean: -1.9, sigma: 0.6 }, { mean: 1.9, sigma: 0.6 }];
  const q = { mean: 0.4, sigma: 1.2 };
  const xs = evenly(-6, 6, 361);
  const density = (x) => (densityOf(modes[0])(x) + densityOf(modes[1])(x)) / 2;
  const logP = (x) => logSumExp(modes.map(({ mean, sigma }) => logNormal(x, mean, 2 * Math.log(sigma)))) - Math.LN2;
  const logQ = (x, { mean, sigma }) => logNormal(x, mean, 2 * Math.log(sigma));
  const forward = (at) => integral((x) => Math.exp(logP(x)) * (logP(x) - logQ(x, at)), -8, 8, 400);
  const backward = (at) => {
    const reach = 8 * at.sigma;
    return integral((x) => Math.exp(logQ(x, at)) * (logQ(x, at) - logP(x)), at.mean - reach, at.mean + reach, 400);
  };
  // The lowest KL near a Gaussian: steps that are halved where none of them lowers it.
  const lowestNear = (kl, start) => {
    let [best, step] = [start, 0.4];
    while (step > 0.005) {
      const tries = [[step, 0], [-step, 0], [0, step], [0, -step]].map(([m, s]) => ({
        mean: clamp(best.mean + m, -4, 4), sigma: clamp(best.sigma + s, SIGMA_FROM, SIGMA_TO),
      }));
      const found = tries.reduce((least, one) => (kl(one) < kl(least) ? one : least), best);
      if (found === best) step /= 2;
      best = found;
    }
    return best;
  };
  const lowest = (kl) => {
    const found = [q, ...modes].map((start) => lowestNear(kl, { ...start }));
    Object.assign(q, found.reduce((least, one) => (kl(one) < kl(least) - 1e-6 ? one : least)));
  };
  const plot = touchPlot(figure, { x: { from: -6, to: 6, label: "x" }, y: { from: 0, to: 0.7, label: "density" }, label: "Densities of P and Q", height: 14 });
  const [shapeP, curveP, curveQ] = [plot.shape("of-p"), plot.curve("of-p"), plot.curve("of-q")];
  const nameP = plot.text("name of-p", { dy: -0.6 });
  const nameQ = plot.text("name of-q", { dy: -1.15 });
  gaussianHandles(figure, plot, q, "Q", "of-q");
  const bars = touchBars(figure, [{ name: "KL(P ‖ Q)", className: "of-p" }, { name: "KL(Q ‖ P)", className: "of-q" }], { label: "KL both ways", negative: false, digits: 3 });
  touchButtons(figure, { "Lowest KL(P ‖ Q)": () => lowest(forward), "Lowest KL(Q ‖ P)": () => lowest(backward) });
  touchCaption(figure, "The KL of a mixture has no closed form, so both are integrated numerically. A VAE minimises the second kind, KL(q ‖ p), with q from the encoder.");
  return () => {
    shapeP([[-6, 0], ...pairs(xs, density), [6, 0]]);
    curveP(pairs(xs, density));
    curveQ(pairs(xs, densityOf(q)));
    nameP(-1.9, density(-1.9), "P");
    peakText(plot, q, "Q", nameQ);
    bars([forward(q), backward(q)]);
  };
});

touchFigure("figure-triangle", (figure) => {
  const all = { P: { mean: -1.5, sigma: 0.8 }, Q: { mean: 2.9, sigma: 0.8 }, R: { mean: 1, sigma: 0.8 } };
  const classes = { P: "of-p", Q: "of-q", R: "of-r" };
  const xs = evenly(-6, 6, 361);
  const plot = touchPlot(figure, { x: { from: -6, to: 6, label: "x" }, y: { from: 0, to: 0.9, label: "density" }, label: "Three densities", height: 14 });
  const drawn = Object.entries(all).map(([name, gaussian]) => ({
    name, gaussian, curve: plot.curve(classes[name]), text: plot.text(`name ${classes[name]}`, { dy: -1.15 }),
  }));
  for (const { name, gaussian } of drawn) gaussianHandles(figure, plot, gaussian, name, classes[name]);
  const stacks = touchStacks(figure, [
    [{ name: "KL(P ‖ R)", className: "of-r" }],
    [{ name: "KL(P ‖ Q)", className: "of-p" }, { name: "KL(Q ‖ R)", className: "of-q" }],
  ], { label: "The straight way and the detour" });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "Drag Q between P and R.");
  return () => {
    for (const { name, gaussian, curve, text } of drawn) {
      curve(pairs(xs, densityOf(gaussian)));
      peakText(plot, gaussian, name, text);
    }
    const [straight, first, second] = [klOf(all.P, all.R), klOf(all.P, all.Q), klOf(all.Q, all.R)];
    stacks([[straight], addingUp([first, second], 0)]);
    const [over, instead] = [shown(first + second), shown(straight)];
    if (over === instead) verdict(`Equal: the way over Q costs the same, ${over}.`);
    else if (straight > first + second) verdict(`Broken: the way over Q is shorter, ${over} instead of ${instead}.`, "lit");
    else verdict(`Holds here: the way over Q is longer, ${over} instead of ${instead}.`);
  };
});

// ---- 3. Discrete ----

touchFigure("figure-discrete", (figure) => {
  const start = { p: [0.45, 0.3, 0.2, 0.05], q: [0.2, 0.25, 0.25, 0.3] };
  const state = { p: start.p, q: start.q };
  const n = start.p.length;
  const plot = touchPlot(figure, {
    x: { from: 0, to: n, ticks: evenly(0.5, n - 0.5, n), format: (x) => String(x + 0.5), label: "outcome" },
    y: { from: 0, to: 1, label: "probability" }, label: "Probabilities", height: 16,
  });
  const bars = [];
  for (const [key, offset, className] of [["p", 0.1, "of-p"], ["q", 0.52, "of-q"]]) {
    for (let i = 0; i < n; i += 1) {
      const [left, right] = [i + offset, i + offset + 0.38];
      bars.push({ key, i, left, right, shape: plot.shape(`${className} solid`) });
      plot.handle({
        label: `${key.toUpperCase()} of outcome ${i + 1}`, className, step: [0, 0.02],
        at: () => [(left + right) / 2, state[key][i]],
        move: (x, y) => { state[key] = withPart(state[key], i, clamp(rounded(y, 0.01), 0, 1)); },
        said: () => shown(state[key][i], 3),
      });
    }
  }
  const [nameP, nameQ] = [plot.text("name of-p", { dy: -1.15 }), plot.text("name of-q", { dy: -1.15 })];
  touchButtons(figure, {
    "Q = P": () => { state.q = state.p; },
    "P uniform": () => { state.p = Array(n).fill(1 / n); },
    "q₄ = 0": () => { state.q = withPart(state.q, n - 1, 0); },
    "Start again": () => Object.assign(state, start),
  });
  const stacks = touchStacks(figure, [
    [{ name: "cross-entropy H(P, Q)", className: "cross" }],
    [{ name: "entropy H(P)", className: "entropy" }, { name: "KL(P ‖ Q)", className: "kl" }],
    [{ name: "entropy H(P)", className: "entropy" }, { name: "KL(P ‖ uniform)", className: "uniform" }],
  ], { label: "Cross-entropy and its parts", least: 2 });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "The other bars of the same colour follow, so that they sum to 1. The last two parts always sum to ln 4.");
  return () => {
    for (const { key, i, left, right, shape } of bars) {
      const y = state[key][i];
      shape([[left, 0], [left, y], [right, y], [right, 0]]);
    }
    nameP(0.29, state.p[0], "P");
    nameQ(0.71, state.q[0], "Q");
    const uniform = Array(n).fill(1 / n);
    const [h, kl] = [entropy(state.p), klCategorical(state.p, state.q)];
    const toUniform = klCategorical(state.p, uniform);
    const [[, more], [, missing]] = [addingUp([h, kl], 1), addingUp([h, toUniform], 1)]; // as shown
    stacks([[crossEntropy(state.p, state.q)], [h, more], [h, missing]]);
    if (kl === Infinity) verdict("Infinite: P produces an outcome that has probability zero under Q.", "lit");
    else verdict(`${shown(h)} + ${shown(more)} = ${shown(h + kl)} = H(P, Q).  ln 4 − ${shown(missing)} = ${shown(Math.log(n))} − ${shown(missing)} = ${shown(h)} = H(P).`);
  };
});

// ---- 4. In a VAE ----

touchFigure("figure-vae", (figure) => {
  const start = { means: [-1.9, -0.8, 0, 0.9, 1.8], sigma: 0.45 };
  const state = { means: [...start.means], sigma: start.sigma };
  const xs = evenly(-4, 4, 641);
  const plot = touchPlot(figure, { x: { from: -4, to: 4, label: "z" }, y: { from: 0, to: 0.6, label: "density" }, label: "Posteriors over the prior", height: 17 });
  const [shape, prior, whole] = [plot.shape("aggregate"), plot.curve("prior"), plot.curve("aggregate")];
  const parts = state.means.map(() => plot.curve("posterior"));
  const namePrior = plot.text("name prior", { anchor: "start", dx: 0.4, dy: -0.5 });
  const nameWhole = plot.text("name aggregate", { anchor: "end" });
  state.means.forEach((_, i) => plot.handle({
    label: `Mean of the posterior of image ${i + 1}`, className: "of-q", step: [0.1, 0], from: -3.5, to: 3.5,
    at: () => [state.means[i], 0],
    move: (x) => { state.means[i] = clamp(rounded(x, 0.05), -3.5, 3.5); },
    said: () => `mean ${shown(state.means[i])}`,
  }));
  touchSlider(figure, {
    label: "σ of all posteriors", from: Math.log(0.01), to: Math.log(2), step: 0.01,
    get: () => Math.log(state.sigma), set: (value) => { state.sigma = Math.exp(value); }, said: () => shown(state.sigma),
  });
  const bars = touchBars(figure, [{ name: "rate", className: "rate" }], { label: "The rate", negative: false, least: 2 });
  const numbers = touchNumbers(figure, { holes: "samples of the prior that fall into holes" });
  touchButtons(figure, {
    "To points": () => { state.sigma = 0.01; },
    "Posterior collapse": () => { state.means.fill(0); state.sigma = 1; },
    "Start again": () => Object.assign(state, { means: [...start.means], sigma: start.sigma }),
  });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "Five images, one latent. The filled curve is q(z), the mean of the five. A hole is where q(z) is below a tenth of the prior.");
  return () => {
    const { means, sigma } = state;
    const logvar = 2 * Math.log(sigma);
    const one = (mean) => (z) => Math.exp(logNormal(z, mean, logvar)) / means.length;
    const q = (z) => sumOf(means.map((mean) => one(mean)(z)));
    const p = (z) => Math.exp(logNormal(z, 0, 0));
    const near = [...xs, ...means.flatMap((mean) => evenly(-4, 4, 33).map((times) => mean + times * sigma))].sort((a, b) => a - b);
    const points = pairs(near, q);
    shape([[-4, 0], ...points, [4, 0]]);
    whole(points);
    prior(pairs(xs, p));
    parts.forEach((draw, i) => draw(pairs(near, one(means[i]))));
    namePrior(1.1, p(1.1), "prior");
    nameWhole(3.95, 0.53, "q(z), filled");
    const rate = sumOf(means.map((mean) => klStandard(mean, logvar))) / means.length;
    const holes = integral((z) => (q(z) < 0.1 * p(z) ? p(z) : 0), -6, 6, 2400);
    bars([rate]);
    const percent = `${Math.round(100 * holes)} %`;
    numbers({ holes: percent });
    const sorted = [...means].sort((a, b) => a - b);
    const nearest = Math.min(...sorted.slice(1).map((mean, i) => mean - sorted[i]));
    const numbered = `${percent} of the prior is a hole, at a rate of ${shown(rate)} nats.`;
    if (rate < 0.01) verdict("All posteriors equal the prior. The rate is zero, and z says nothing about the image.", "lit");
    else if (sorted[0] === sorted[sorted.length - 1]) verdict(`All posteriors are the same: z says nothing about the image, and yet the rate is ${shown(rate)} nats.`, "lit");
    else if (sigma < 0.06 && nearest > 4 * sigma) verdict("Almost points. The latent names the image exactly, most of the prior is a hole, and the rate grows without bound.", "lit");
    else if (holes > 0.5) verdict(`The posteriors leave most of the room under the prior empty: ${numbered}`, "lit");
    else if (holes > 0.1) verdict(`The posteriors leave a part of the room under the prior empty: ${numbered}`);
    else verdict(`The posteriors share the room under the prior: ${numbered}`);
  };
});

// ---- 5. Two Gaussians in a plane ----

touchFigure("figure-plane", (figure) => {
  const q = { mean: [1.3, 0.9], along: 1.3, across: 0.5, angle: 0.6 };
  const p = { mean: [-0.8, -0.7], along: 1.4, across: 1, angle: -0.3 };
  const plot = touchPlot(figure, { x: { from: -3.6, to: 3.6 }, y: { from: -3, to: 3 }, label: "Ellipses of one and two standard deviations", square: true });
  const drawn = [["p", p, "of-p"], ["q", q, "of-q"]].map(([name, gaussian, className]) => ({
    name, gaussian, wide: plot.shape(className), narrow: plot.shape(className), line: plot.curve(className),
    text: plot.text(`name ${className}`, { dy: 0.3 }),
  }));
  const [least, most] = [0.15, 2.5];
  for (const { name, gaussian } of drawn) {
    const className = name === "p" ? "of-p" : "of-q";
    const end = (along) => {
      const [length, turn] = along ? [gaussian.along, gaussian.angle] : [gaussian.across, gaussian.angle + Math.PI / 2];
      return [gaussian.mean[0] + length * Math.cos(turn), gaussian.mean[1] + length * Math.sin(turn)];
    };
    plot.handle({
      label: `Mean of ${name}`, className, from: -3.3, to: 3.3, at: () => gaussian.mean,
      move: (x, y) => { gaussian.mean = [clamp(rounded(x, 0.02), -3.3, 3.3), clamp(rounded(y, 0.02), -2.7, 2.7)]; },
      said: () => `mean ${shown(gaussian.mean[0])}, ${shown(gaussian.mean[1])}`,
    });
    plot.handle({
      label: `First axis of ${name}: length and direction`, className: `${className} width`, at: () => end(true),
      from: least, to: most, value: () => gaussian.along, put: (length) => { gaussian.along = length; },
      move: (x, y) => {
        const [dx, dy] = [x - gaussian.mean[0], y - gaussian.mean[1]];
        gaussian.along = clamp(Math.hypot(dx, dy), least, most);
        gaussian.angle = Math.atan2(dy, dx);
      },
      said: () => `sigma ${shown(gaussian.along)}, ${shown((gaussian.angle * 180) / Math.PI, 0)} degrees`,
    });
    plot.handle({
      label: `Second axis of ${name}: length`, className: `${className} width`, at: () => end(false),
      from: least, to: most, value: () => gaussian.across, put: (length) => { gaussian.across = length; },
      move: (x, y) => {
        const turn = gaussian.angle + Math.PI / 2;
        const length = (x - gaussian.mean[0]) * Math.cos(turn) + (y - gaussian.mean[1]) * Math.sin(turn);
        gaussian.across = clamp(length, least, most);
      },
      said: () => `sigma ${shown(gaussian.across)}`,
    });
  }
  const bars = touchBars(figure, [
    { name: "trace", className: "term-trace" },
    { name: "distance", className: "term-distance" },
    { name: "−k", className: "term-dimension" },
    { name: "log-determinant", className: "term-logdet" },
    { name: "KL(q ‖ p) = half the sum", className: "total" },
  ], { label: "The four terms", least: 4, unit: "" });
  const start = JSON.stringify({ p, q });
  const load = (text) => { const from = JSON.parse(text); Object.assign(p, from.p); Object.assign(q, from.q); };
  touchButtons(figure, {
    "q = p": () => Object.assign(q, { ...p, mean: [...p.mean] }),
    "q thin": () => { q.across = least; },
    "p = N(0, I)": () => Object.assign(p, { mean: [0, 0], along: 1, across: 1, angle: 0 }),
    "Start again": () => load(start),
  });
  touchCaption(figure, "Drag the centres, and the rings at the ends of the axes. The outlines are one and two standard deviations.");
  return () => {
    for (const { name, gaussian, wide, narrow, line, text } of drawn) {
      wide(ellipse(gaussian, 2));
      narrow(ellipse(gaussian, 1));
      line(ellipse(gaussian, 1));
      const [turn, away] = [gaussian.angle - 0.75 * Math.PI, (1.2 * plot.unit) / (plot.px(1) - plot.px(0))]; // from both rings
      text(gaussian.mean[0] + away * Math.cos(turn), gaussian.mean[1] + away * Math.sin(turn), name);
    }
    const of = ({ along, across, angle }) => covarianceOfAxes(along, across, angle);
    const terms = klNormal2d(q.mean, of(q), p.mean, of(p));
    bars([...addingUp([terms.trace, terms.distance, -terms.dimension, terms.logdet], 1), terms.kl]);
  };
});

// ---- 6. The closed form ----

touchFigure("figure-closed", (figure) => {
  const state = { mean: 1.2, logvar: -1.8, moving: 0 };
  const plot = touchPlot(figure, {
    x: { from: -3.5, to: 3.5, label: "μ" }, y: { from: -10, to: 2.5, label: "logvar = ln σ²" }, label: "Map of the KL", height: 21,
  });
  const levels = [0.1, 0.25, 0.5, 1, 2, 3, 4, 5];
  const lvs = evenly(-10, 2.5, 400);
  const fills = levels.map(() => plot.shape("level")).reverse();
  const lines = levels.map(() => plot.curve("contour"));
  const names = levels.map(() => plot.text("level-name", { dy: 0.3 })); // the smallest ones have no room for a name
  const origin = plot.dot("origin", 0.22);
  plot.handle({
    label: "Mean and log-variance", className: "of-q", step: [0.1, 0.1],
    at: () => [state.mean, state.logvar],
    move: (x, y) => {
      state.moving += 1;
      state.mean = clamp(rounded(x, 0.02), -3.5, 3.5);
      state.logvar = clamp(rounded(y, 0.02), -10, 2.5);
    },
    said: () => `mean ${shown(state.mean)}, log-variance ${shown(state.logvar)}, KL ${shown(klStandard(state.mean, state.logvar))}`,
  });
  const small = touchPlot(figure, { x: { from: -5, to: 5, label: "z" }, y: { from: 0, to: 1.2, ticks: "none" }, label: "Posterior and prior", height: 8 });
  const [shape, prior, posterior] = [small.shape("of-q"), small.curve("prior"), small.curve("of-q")];
  const bars = touchBars(figure, [
    { name: "(σ² − 1) / 2", className: "term-variance" },
    { name: "μ² / 2", className: "term-mean" },
    { name: "−ln σ² / 2", className: "term-logvar" },
    { name: "KL", className: "total" },
  ], { label: "The three terms", least: 2, digits: 3 });
  const verdict = touchVerdict(figure);
  // Lets the log-variance fall to -10 in two seconds, or at once if no motion is wanted.
  const shrink = () => {
    const turn = (state.moving += 1);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) state.logvar = -10;
    const from = state.logvar;
    const began = performance.now();
    const move = (now) => {
      if (state.moving !== turn) return;
      const part = clamp((now - began) / 2000, 0, 1);
      state.logvar = from + part * (-10 - from);
      figure.draw();
      if (part < 1) requestAnimationFrame(move);
    };
    requestAnimationFrame(move);
  };
  const put = (mean, logvar) => () => Object.assign(state, { mean, logvar, moving: state.moving + 1 });
  touchButtons(figure, { "σ → 0": shrink, "The prior": put(0, 0), "Start again": put(1.2, -1.8) });
  touchCaption(figure, "The dot in the middle is the prior, where the KL is zero. Numbers on the contours are nats. Below −10 this package clamps.");
  // Half the width of a contour at a log-variance: the mean at which the KL is `level`.
  const half = (level, lv) => Math.sqrt(2 * level - (Math.expm1(lv) - lv));
  return () => {
    const { mean, logvar } = state;
    levels.forEach((level, i) => {
      const inside = lvs.filter((lv) => half(level, lv) >= 0);
      const right = inside.map((lv) => [half(level, lv), lv]);
      const left = inside.map((lv) => [-half(level, lv), lv]).reverse();
      fills[levels.length - 1 - i]([...right, ...left]);
      lines[i]([...right, ...left, right[0]]);
      if (level < 0.5) return;
      const lowest = inside[0];
      names[i](lowest > -9.9 ? 0 : half(level, 0), lowest > -9.9 ? lowest : 0, String(level));
    });
    origin(0, 0);
    const sigma = Math.exp(logvar / 2);
    const zs = [...evenly(-5, 5, 301), ...evenly(-4, 4, 81).map((times) => mean + times * sigma)].sort((a, b) => a - b);
    const points = pairs(zs, (z) => Math.exp(logNormal(z, mean, logvar)));
    posterior(points);
    shape([[-5, 0], ...points, [5, 0]]);
    prior(pairs(evenly(-5, 5, 201), (z) => Math.exp(logNormal(z, 0, 0))));
    const terms = klStandardTerms(mean, logvar);
    const kl = klStandard(mean, logvar);
    bars([...addingUp([terms.variance, terms.mean, terms.logvar], 0, 3), kl]);
    const signed = (value) => (value < 0 ? `− ${shown(-value, 3)}` : `+ ${shown(value, 3)}`);
    verdict(`σ = ${shown(sigma, 3)}.  KL = ½ (${shown(sigma ** 2, 3)} + ${shown(mean ** 2, 3)} − 1 ${signed(-logvar)}) = ${shown(kl, 3)} nats.`);
  };
});

// ---- 7. In code ----

touchFigure("figure-expm1", (figure) => {
  const state = { logvar: 2e-4 };
  // The KL at mean 0 by its series, where even float64 would lose digits.
  const exact = (x) => (Math.abs(x) < 1e-2 ? (x * x / 2) * (1 + x / 3 + x * x / 12 + x ** 3 / 60) / 2 : klStandard(0, x));
  const error = (found, x) => Math.max(Math.abs(found - exact(x)) / exact(x), 1e-9);
  const power = (value) => `10${superscript(Math.round(Math.log10(value)))}`;
  const tens = (from, to, step) => evenly(from, to, (to - from) / step + 1).map((k) => 10 ** k);
  const plot = touchPlot(figure, {
    x: { from: 1e-8, to: 1, log: true, ticks: tens(-8, 0, 2), format: power, label: "logvar, at μ = 0" },
    y: { from: 1e-8, to: 1e4, log: true, ticks: tens(-8, 4, 2), format: power, label: "relative error in float32" },
    label: "Relative error of two forms", height: 17,
  });
  const xs = evenly(Math.log(1e-8), 0, 260).map((x) => Math.fround(Math.exp(x)));
  const [byExp, byExpm1, one] = [plot.curve("bad-way"), plot.curve("good-way"), plot.curve("prior")];
  const nameExp = plot.text("name bad-way", { anchor: "end" });
  const nameExpm1 = plot.text("name good-way");
  const torchDots = ["klStandardByExp32", "klStandardByExpm132"].flatMap((name, way) => {
    const { arguments: calls, values } = references.find((reference) => reference.name === name);
    return calls.flatMap(([, x], i) => (x > 0 ? [{ x, y: error(values[i], x), draw: plot.dot(way === 0 ? "bad-way" : "good-way", 0.17) }] : []));
  });
  plot.handle({
    label: "Log-variance", step: [0.2, 0],
    at: () => [state.logvar, 1],
    move: (x) => { state.logvar = Math.fround(clamp(x, 1e-8, 1)); },
    said: () => `log-variance ${smallText(state.logvar)}`,
  });
  const numbers = touchNumbers(figure, { x: "logvar", exact: "KL", exp: "½(exp(x) − 1 − x)", expm1: "½(expm1(x) − x)" });
  touchCaption(figure, "An error of 1 (dashed) means that no digit is right. Lines: float32 in this browser. Dots: torch.float32. Even expm1(x) − x subtracts, so its error grows as 1/x; that of exp as 1/x².");
  return () => {
    byExp(pairs(xs, (x) => error(klStandardByExp32(0, x), x)));
    byExpm1(pairs(xs, (x) => error(klStandardByExpm132(0, x), x)));
    one([[1e-8, 1], [1, 1]]);
    for (const { x, y, draw } of torchDots) draw(x, Math.min(y, 1e9));
    nameExp(0.8, 3e1, "½(exp(x) − 1 − x)");
    nameExpm1(2e-6, 1e-5, "½(expm1(x) − x)");
    numbers({
      x: smallText(state.logvar), exact: smallText(exact(state.logvar)),
      exp: smallText(klStandardByExp32(0, state.logvar)), expm1: smallText(klStandardByExpm132(0, state.logvar)),
    });
  };
});

// A whole number in raised digits.
function superscript(value) {
  return String(value).replace("-", "⁻").replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
}

touchFigure("figure-logsumexp", (figure) => {
  const state = { a: 60 };
  const values = (a) => [a, a - 1, a - 2];
  const plot = touchPlot(figure, { x: { from: -200, to: 200, label: "a" }, y: { from: -220, to: 220, label: "ln(eᵃ + eᵃ⁻¹ + eᵃ⁻²)" }, label: "Log-sum-exp", height: 15 });
  const xs = evenly(-200, 200, 401);
  const [stable, naive] = [plot.curve("good-way wide"), plot.curve("bad-way")];
  const [nameHigh, nameLow] = [plot.text("name bad-way", { anchor: "start" }), plot.text("name bad-way", { anchor: "end" })];
  plot.handle({
    label: "a", step: [5, 0], at: () => [state.a, logSumExp(values(state.a))],
    move: (x) => { state.a = clamp(rounded(x, 1), -200, 200); }, said: () => `a ${shown(state.a, 0)}`,
  });
  const numbers = touchNumbers(figure, { trick: "with the trick", naive: "without, in float32" });
  touchCaption(figure, "Drag along the line. Without the trick, float32 overflows above 88.7 and finds ln 0 below −104.");
  return () => {
    stable(pairs(xs, (a) => logSumExp(values(a))));
    naive(pairs(xs, (a) => { const y = logSumExpNaive32(values(a)); return Number.isFinite(y) ? y : NaN; }));
    nameHigh(95, 20, "exp = ∞");
    nameLow(-108, -40, "exp = 0");
    numbers({ trick: shown(logSumExp(values(state.a)), 3), naive: shown(logSumExpNaive32(values(state.a)), 3) });
  };
});

touchFigure("figure-clamp", (figure) => {
  const state = { logvar: 12 };
  const xs = [...evenly(-16, 16, 1281)];
  const upper = touchPlot(figure, { x: { from: -16, to: 16 }, y: { from: -16, to: 16, label: "clamped logvar" }, label: "The clamp", height: 12 });
  const [line, same] = [upper.curve("of-q"), upper.curve("prior")];
  upper.handle({
    label: "Log-variance from the network", className: "of-q", step: [0.5, 0], at: () => [state.logvar, clamp(state.logvar, -10, 10)],
    move: (x) => { state.logvar = clamp(rounded(x, 0.1), -16, 16); }, said: () => `log-variance ${shown(state.logvar, 1)}`,
  });
  const lower = touchPlot(figure, {
    x: { from: -16, to: 16, label: "logvar from the network" }, y: { from: -8, to: 8, label: "gradient of the KL that arrives" }, label: "Gradients", height: 13,
  });
  const [none, torch, ours, at] = [lower.curve("bad-way"), lower.curve("torch-way"), lower.curve("good-way"), lower.curve("prior")];
  const gradients = (x) => {
    const inside = klStandardGradient(0, clamp(x, -10, 10)).logvar;
    return {
      none: klStandardGradient(0, x).logvar,
      torch: clampGradient(x, -10, 10, inside),
      ours: boundGradient(x, -10, 10, inside),
    };
  };
  const numbers = touchNumbers(figure, { none: "without a clamp", torch: "torch.clamp", ours: "this package" });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "Gradient descent goes against the gradient: a positive one lowers logvar. One image in the batch.");
  return () => {
    same([[-16, -16], [16, 16]]);
    line(pairs(xs, (x) => clamp(x, -10, 10)));
    none(pairs(xs, (x) => gradients(x).none));
    torch(pairs(xs, (x) => gradients(x).torch));
    ours(pairs(xs, (x) => gradients(x).ours));
    at([[state.logvar, -8], [state.logvar, 8]]);
    const now = gradients(state.logvar);
    numbers({ none: shown(now.none), torch: shown(now.torch), ours: shown(now.ours) });
    if (Math.abs(state.logvar) <= 10) verdict("Inside the bounds all three are the same.");
    else verdict("Outside: torch.clamp passes nothing on, so nothing brings logvar back. This package’s gradient leads back.", "lit");
  };
});

touchFigure("figure-epsilon", (figure) => {
  const EPSILON = 1e-8;
  const state = { variance: 1e-12 };
  const power = (value) => `10${superscript(Math.round(Math.log10(value)))}`;
  const plot = touchPlot(figure, {
    x: { from: 1e-20, to: 1, log: true, ticks: [1e-20, 1e-15, 1e-10, 1e-5, 1], format: power, label: "σ²" },
    y: { from: -50, to: 5, label: "logarithm" }, label: "Logarithm and epsilon", height: 14,
  });
  const xs = evenly(Math.log(1e-20), 0, 200).map(Math.exp);
  const [bare, note, right] = [plot.curve("faint wide"), plot.curve("bad-way dashed"), plot.curve("good-way")];
  const nameNote = plot.text("name bad-way", { anchor: "start", dx: 0.8, dy: 0.6 });
  const nameRight = plot.text("name good-way", { anchor: "start", dy: -0.6 });
  plot.handle({
    label: "Variance", step: [1, 0], at: () => [state.variance, Math.log(state.variance + EPSILON)],
    move: (x) => { state.variance = clamp(x, 1e-20, 1); }, said: () => `variance ${smallText(state.variance)}`,
  });
  const numbers = touchNumbers(figure, { bare: "ln σ²", note: "ln σ² + ε", right: "ln(σ² + ε)" });
  touchCaption(figure, "ε = 10⁻⁸. Added after the logarithm it changes nothing; added before, it stops the fall.");
  return () => {
    bare(pairs(xs, Math.log));
    note(pairs(xs, (x) => Math.log(x) + EPSILON));
    right(pairs(xs, (x) => Math.log(x + EPSILON)));
    nameNote(1e-15, Math.log(1e-15), "ln σ² + ε");
    nameRight(1e-19, Math.log(EPSILON), "ln(σ² + ε)");
    const v = state.variance;
    numbers({ bare: shown(Math.log(v)), note: shown(Math.log(v) + EPSILON), right: shown(Math.log(v + EPSILON)) });
  };
});

// ---- 8. Beta ----

// A cubic through points (x, y) by rising x, with slopes by finite differences.
function cubicThrough(xs, ys) {
  const rise = xs.slice(1).map((x, i) => (ys[i + 1] - ys[i]) / (x - xs[i]));
  const slopes = xs.map((_, i) => (i === 0 ? rise[0] : i === xs.length - 1 ? rise[i - 1] : (rise[i - 1] + rise[i]) / 2));
  return (x) => {
    const i = clamp(xs.findLastIndex((left) => left <= x), 0, xs.length - 2);
    const width = xs[i + 1] - xs[i];
    const t = (x - xs[i]) / width;
    const [u, v] = [1 - t, t * t * (3 - 2 * t)];
    return (1 - v) * ys[i] + v * ys[i + 1] + width * t * u * (u * slopes[i] - t * slopes[i + 1]);
  };
}

touchFigure("figure-beta", (figure) => {
  const { curve, separate } = curveData;
  const logs = curve.map(({ beta }) => Math.log(beta));
  const [low, high] = [logs[0], logs[logs.length - 1]];
  const rate = cubicThrough(logs, curve.map((point) => point.rate));
  const distortion = cubicThrough(logs, curve.map((point) => point.distortion));
  const samples = evenly(low, high, 400).map((log) => ({ log, rate: rate(log), distortion: distortion(log) }));
  const state = { log: clamp(Math.log(4), low, high) };
  const all = [...curve, ...separate];
  const top = Math.max(...curve.map((point) => point.distortion + point.beta * point.rate), ...all.map((point) => point.distortion));
  const most = Math.max(...all.map((point) => point.rate));
  const least = Math.min(...all.map((point) => point.distortion));
  const plot = touchPlot(figure, {
    x: { from: 0, to: most * 1.06, label: "rate, nats" }, y: { from: Math.floor((least - 0.1 * (top - least)) / 10) * 10, to: top * 1.04, label: "distortion, nats" },
    label: "Rate and distortion", height: 23,
  });
  const below = plot.shape("impossible");
  const [line, path] = [plot.curve("support"), plot.curve("rd")];
  const dots = curve.map(() => plot.dot("rd", 0.2));
  const alone = separate.map(() => plot.dot("separate", 0.3));
  const names = separate.map(() => plot.text("level-name", { anchor: "start", dx: 0.5, dy: -0.5 }));
  const meets = plot.dot("meets", 0.3);
  const nameMeets = plot.text("name support", { anchor: "start", dx: 0.6, dy: -0.5 });
  const here = () => ({ beta: Math.exp(state.log), rate: rate(state.log), distortion: distortion(state.log) });
  plot.handle({
    label: "Beta", className: "of-q", step: [0.1, 0], from: Math.exp(low), to: Math.exp(high), value: () => Math.exp(state.log),
    put: (beta) => { state.log = Math.log(beta); },
    at: () => [here().rate, here().distortion],
    move: (x, y) => {
      const [px, py] = [plot.px(x), plot.py(y)];
      const far = (sample) => Math.hypot(plot.px(sample.rate) - px, plot.py(sample.distortion) - py);
      state.log = samples.reduce((best, sample) => (far(sample) < far(best) ? sample : best)).log;
    },
    keyed: (along) => { state.log = clamp(state.log + 0.1 * along, low, high); },
    said: () => `beta ${shown(here().beta)}, rate ${shown(here().rate)}, distortion ${shown(here().distortion)}`,
  });
  touchSlider(figure, {
    label: "β", from: low, to: high, step: 0.01, get: () => state.log,
    set: (value) => { state.log = logs.find((log) => Math.abs(log - value) < 0.006) ?? value; }, // at a trained beta, if near
    said: () => shown(Math.exp(state.log)),
  });
  const stacks = touchStacks(figure, [[{ name: "distortion", className: "distortion" }, { name: "β · rate", className: "rate" }]], { label: "The loss", least: 200 });
  const numbers = touchNumbers(figure, { rate: "rate", loss: "loss = −ℒ", elbo: "ELBO (β = 1)", best: "lowest loss on the curve" });
  const verdict = touchVerdict(figure);
  const dotted = separate.length > 0 ? " Large dots are separate trainings. They lie above the curve or a little below: fewer epochs raise the loss, but one network for every β is a compromise." : "";
  touchCaption(figure, `The line joins all points with the same loss, and meets the vertical axis at the loss.${dotted}`);
  return () => {
    const { beta, rate: r, distortion: d } = here();
    const loss = d + beta * r;
    const best = Math.min(...samples.map((sample) => sample.distortion + beta * sample.rate));
    path(samples.map((sample) => [sample.rate, sample.distortion]));
    curve.forEach((point, i) => dots[i](point.rate, point.distortion));
    separate.forEach((point, i) => {
      alone[i](point.rate, point.distortion);
      names[i](point.rate, point.distortion, `β = ${point.beta}`);
    });
    const end = plot.x.to;
    line([[0, loss], [end, loss - beta * end]]);
    below([[0, loss], [end, loss - beta * end], [end, plot.y.from - 1000], [0, plot.y.from - 1000]]);
    meets(0, loss);
    nameMeets(0, loss, `loss ${shown(loss)}`);
    stacks([addingUp([d, beta * r], 0)]);
    numbers({ rate: shown(r), loss: shown(loss), elbo: shown(-d - r), best: shown(best) });
    const within = (Number(loss.toFixed(2)) - Number(best.toFixed(2))).toFixed(2);
    if (within <= 0) verdict("The lowest loss on the curve is the same: the line touches the curve here.");
    else verdict(`The lowest loss on the curve is within ${within} of it. In theory the line only touches the curve; trained models are not exact.`);
  };
});

// ---- 9. Information theory ----

touchFigure("figure-joint", (figure) => {
  const start = [[0.22, 0.06, 0.04], [0.05, 0.2, 0.06], [0.03, 0.08, 0.26]];
  const state = { joint: start };
  const n = start.length;
  const middle = evenly(0.5, n - 0.5, n);
  const plot = touchPlot(figure, {
    x: { from: 0, to: n, ticks: middle.map((at) => at + 0.1), format: (x) => `z${"₁₂₃"[Math.floor(x)]}`, grid: false },
    y: { from: 0, to: n, ticks: middle, format: (y) => `x${"₃₂₁"[y - 0.5]}`, grid: false }, label: "Joint probabilities", height: 20,
  });
  const most = 0.5; // the probability of a full cell
  const fill = (i, j, value) => {
    const flat = withPart(state.joint.flat(), n * i + j, value);
    state.joint = start.map((row, k) => flat.slice(n * k, n * k + n));
  };
  const cells = [];
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      const base = n - 1 - i;
      cells.push({ i, j, base, frame: plot.curve("cell"), shape: plot.shape("of-q solid"), product: plot.curve("product"), text: plot.text("cell-text", { anchor: "start", dx: 0.3, dy: 1.1 }) });
      plot.handle({
        label: `p(x${i + 1}, z${j + 1})`, className: "of-q", step: [0, 0.02 / most], from: 0, to: 0.9, value: () => state.joint[i][j],
        put: (value) => fill(i, j, value),
        at: () => [j + 0.6, base + 0.04 + Math.min(0.9, (state.joint[i][j] / most) * 0.9)],
        move: (x, y) => fill(i, j, clamp(rounded(((y - base - 0.04) / 0.9) * most, 0.01), 0, 0.9)),
        said: () => shown(state.joint[i][j], 3),
      });
    }
  }
  touchButtons(figure, {
    "Independent": () => {
      const { x, z } = marginals(state.joint);
      state.joint = x.map((px) => z.map((pz) => px * pz));
    },
    "Z = X": () => { state.joint = start.map((row, i) => row.map((_, j) => (i === j ? 1 / n : 0))); },
    "Start again": () => { state.joint = start; },
  });
  const stacks = touchStacks(figure, [
    [{ name: "H(X)", className: "entropy" }],
    [{ name: "H(X | Z)", className: "cross" }, { name: "I(X; Z)", className: "information" }],
  ], { label: "Entropy of X and what Z says about it", least: 1, digits: 3 });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "Each bar is one joint probability; the others follow. The line across a cell is p(x) p(z), where the bar would end if X and Z were independent.");
  return () => {
    const { x, z } = marginals(state.joint);
    for (const { i, j, base, frame, shape, product, text } of cells) {
      const up = (value) => base + 0.04 + Math.min(0.9, (value / most) * 0.9);
      frame([[j, base], [j + 1, base], [j + 1, base + 1], [j, base + 1], [j, base]]);
      const y = up(state.joint[i][j]);
      shape([[j + 0.45, base + 0.04], [j + 0.45, y], [j + 0.75, y], [j + 0.75, base + 0.04]]);
      product([[j + 0.35, up(x[i] * z[j])], [j + 0.85, up(x[i] * z[j])]]);
      text(j, base + 1, shown(state.joint[i][j]));
    }
    const information = Math.max(0, mutualInformation(state.joint));
    const parts = addingUp([entropy(x) - information, information], 0, 3);
    stacks([[entropy(x)], parts]);
    if (information < 5e-4) verdict("I(X; Z) = 0.000 nats. Knowing Z changes nothing.", "good");
    else verdict(`I(X; Z) = ${shown(information, 3)} nats. Knowing Z lowers the entropy of X from ${shown(entropy(x), 3)} to ${shown(parts[0], 3)}.`);
  };
});

// Means that lie as the quantiles of N(0, 1): (i + 1/2) / n.
function normalQuantiles(n) {
  const zs = evenly(-5, 5, 4001);
  let below = 0;
  const found = [];
  for (const z of zs) {
    below += Math.exp(logNormal(z, 0, 0)) * (zs[1] - zs[0]);
    while (found.length < n && below >= (found.length + 0.5) / n) found.push(z);
  }
  return found;
}

touchFigure("figure-aggregate", (figure) => {
  const state = { n: 5, sigma: 0.3, means: normalQuantiles(5) };
  const plot = touchPlot(figure, { x: { from: -4, to: 4, label: "z" }, y: { from: 0, to: 0.8, label: "density" }, label: "Posteriors, their mean and the prior", height: 14 });
  const [shape, prior, whole] = [plot.shape("aggregate"), plot.curve("prior"), plot.curve("aggregate")];
  touchSlider(figure, {
    label: "N images", from: 2, to: 16, step: 1, get: () => state.n,
    set: (value) => Object.assign(state, { n: value, means: normalQuantiles(value) }), said: () => String(state.n),
  });
  touchSlider(figure, {
    label: "σ of all posteriors", from: Math.log(0.02), to: 0, step: 0.01, get: () => Math.log(state.sigma),
    set: (value) => { state.sigma = Math.exp(value); }, said: () => shown(state.sigma),
  });
  const stacks = touchStacks(figure, [
    [{ name: "rate, closed form", className: "total" }],
    [{ name: "I(X; Z)", className: "information" }, { name: "KL(q(z) ‖ p(z))", className: "aggregate" }],
    [{ name: "ln N", className: "uniform" }],
  ], { label: "The rate and its parts", least: 2 });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "The filled curve is q(z), the dashed one the prior. The means shrink as σ grows, so that q(z) stays near the prior. The parts are integrated numerically.");
  return () => {
    const { n, sigma } = state;
    const logvar = 2 * Math.log(sigma);
    const means = state.means.map((mean) => mean * Math.sqrt(1 - sigma * sigma));
    const logQ = (z) => logSumExp(means.map((mean) => logNormal(z, mean, logvar))) - Math.log(n);
    const rate = sumOf(means.map((mean) => klStandard(mean, logvar))) / n;
    const divergence = integral((z) => { const log = logQ(z); return Math.exp(log) * (log - logNormal(z, 0, 0)); }, -7, 7, 2800);
    const information = integral((z) => {
      const log = logQ(z);
      return sumOf(means.map((mean) => { const one = logNormal(z, mean, logvar); return Math.exp(one) * (one - log); })) / n;
    }, -7, 7, 2800);
    const points = pairs([...evenly(-4, 4, 641), ...means].sort((a, b) => a - b), (z) => Math.exp(logQ(z)));
    shape([[-4, 0], ...points, [4, 0]]);
    whole(points);
    prior(pairs(evenly(-4, 4, 201), (z) => Math.exp(logNormal(z, 0, 0))));
    stacks([[rate], addingUp([information, Math.max(0, divergence)], 1), [Math.log(n)]]);
    const full = information > 0.98 * Math.log(n);
    verdict(full
      ? `The ceiling is reached: I(X; Z) = ${shown(information)} of ln ${n} = ${shown(Math.log(n))}. Narrower posteriors only move q(z) from the prior.`
      : `I(X; Z) = ${shown(information)}, below ln ${n} = ${shown(Math.log(n))}: the posteriors overlap.`, full ? "lit" : "");
  };
});

touchFigure("figure-correlation", (figure) => {
  const state = { rho: 0.7 };
  const plot = touchPlot(figure, { x: { from: -3.6, to: 3.6, label: "z₁" }, y: { from: -2.8, to: 2.8, label: "z₂" }, label: "Two latents", square: true });
  const [product, shape, line, slope] = [plot.curve("prior"), plot.shape("of-q"), plot.curve("of-q"), plot.curve("faint")];
  plot.handle({
    label: "Correlation", className: "of-q", step: [0, 0.1], from: -0.99, to: 0.99, value: () => state.rho, put: (rho) => { state.rho = rho; },
    at: () => [2, 2 * state.rho],
    move: (x, y) => { state.rho = clamp(rounded(y / 2, 0.01), -0.99, 0.99); },
    said: () => `correlation ${shown(state.rho)}, total correlation ${shown(totalCorrelation2d(state.rho), 3)}`,
  });
  const lower = touchPlot(figure, { x: { from: -1, to: 1, label: "ρ" }, y: { from: 0, to: 2, label: "total correlation" }, label: "Total correlation over the correlation", height: 11 });
  const [curve, dot] = [lower.curve("correlation"), lower.dot("correlation", 0.4)];
  const numbers = touchNumbers(figure, { rho: "ρ", tc: "total correlation" });
  touchCaption(figure, "The handle is the mean of z₂ where z₁ = 2. Dashed: the product of the margins, which stays the same.");
  return () => {
    const { rho } = state;
    product(ellipse({ mean: [0, 0], along: 1, across: 1, angle: 0 }, 2));
    const outline = ellipse({ mean: [0, 0], along: Math.sqrt(1 + rho), across: Math.sqrt(1 - rho), angle: Math.PI / 4 }, 2);
    shape(outline);
    line(outline);
    slope([[-3, -3 * rho], [3, 3 * rho]]);
    curve(pairs(evenly(-0.9999, 0.9999, 801), totalCorrelation2d));
    dot(rho, Math.min(totalCorrelation2d(rho), 2));
    numbers({ rho: shown(rho), tc: shown(totalCorrelation2d(rho), 3) });
  };
});

// Where the name of line `own` stands beside it, above or below, with most room to all lines and to the `taken` places.
// The points of the lines are equally far apart. Returns the middle of the name, and its width, in pixels.
function freePlace(plot, xs, lines, own, width, taken) {
  const heights = lines.map((values) => values.map(plot.py));
  const heightAt = (ys, x) => {
    const place = clamp(((x - plot.left) / plot.inner) * (xs.length - 1), 0, xs.length - 1.001);
    const i = Math.floor(place);
    return ys[i] + (place - i) * (ys[i + 1] - ys[i]);
  };
  const room = ({ x, y }) => {
    const far = evenly(x - width / 2, x + width / 2, 13).flatMap((at) => heights.map((ys) => Math.abs(heightAt(ys, at) - y)));
    const others = taken.map((name) => (Math.abs(name.x - x) < (name.width + width) / 2 ? Math.abs(name.y - y) : Infinity));
    return Math.min(...far, ...others.map((distance) => 0.8 * distance), plot.unit);
  };
  const middles = evenly(plot.left + width / 2, plot.left + plot.inner - width / 2, 25);
  const places = [4, -4, 3, -3, 2, -2, 1.25, -1.25].flatMap((away) => // near ones are preferred, and those on the right
    middles.map((x) => ({ x, y: heightAt(heights[own], x) + away * plot.unit, width })));
  const inside = places.filter(({ y }) => y > plot.top + 0.5 * plot.unit && y < plot.top + plot.tall - 0.5 * plot.unit);
  return inside.reduce((best, place) => (room(place) >= room(best) ? place : best));
}

touchFigure("figure-ceiling", (figure) => {
  const { rates, sizes, mutual_information: information, total_correlation: dependence, dimension_wise_kl: single } = ceilingData;
  const state = { which: 2, size: 7 };
  const plot = touchPlot(figure, {
    x: { from: sizes[0], to: sizes[sizes.length - 1], log: true, ticks: sizes.filter((_, i) => i % 2 === 1), label: "N images" },
    y: { from: 0, to: 1.15 * rates[state.which], label: "nats" }, label: "Estimates over the number of images", height: 18,
  });
  const [truth, ceiling, mi, tc, dw, at] = [plot.curve("faint wide"), plot.curve("prior"), plot.curve("information"), plot.curve("correlation"), plot.curve("single"), plot.curve("faint")];
  const names = [["single", "dimension-wise KL"], ["correlation", "TC, estimated"], ["information", "I, estimated"]].map(([className, words]) => ({
    words, put: plot.text(`name ${className}`, { dy: 0.3 }), width: () => words.length * 0.56 * plot.unit,
  }));
  const nameTruth = plot.text("name", { anchor: "start", dx: 0.3, dy: -0.5 });
  plot.handle({
    label: "Number of images", className: "information", step: [Math.LN2, 0], value: () => sizes[state.size],
    at: () => [sizes[state.size], information[state.which][state.size]],
    move: (x) => {
      const far = (i) => Math.abs(Math.log(sizes[i] / Math.max(x, 1e-9)));
      state.size = sizes.reduce((best, _, i) => (far(i) < far(best) ? i : best), 0);
    },
    said: () => `${sizes[state.size]} images`,
  });
  touchSlider(figure, {
    label: "true rate", from: 0, to: rates.length - 1, step: 1, get: () => state.which,
    set: (value) => {
      state.which = value;
      plot.y.to = 1.15 * rates[value];
      plot.drawAxes();
    },
    said: () => `${shown(rates[state.which], 0)} nats`,
  });
  const bars = touchBars(figure, [
    { name: "mutual information", className: "information" },
    { name: "total correlation", className: "correlation" },
    { name: "dimension-wise KL", className: "single" },
  ], { label: "Estimates for this N", least: 2, negative: false });
  const verdict = touchVerdict(figure);
  touchCaption(figure, "Ten independent latents, so the true total correlation and the true dimension-wise KL are zero. Dashed: ln N.");
  return () => {
    const { which, size } = state;
    const rate = rates[which];
    const over = (values) => sizes.map((n, i) => [n, values[i]]);
    truth([[sizes[0], rate], [sizes[sizes.length - 1], rate]]);
    ceiling(pairs(sizes, Math.log));
    mi(over(information[which]));
    tc(over(dependence[which]));
    dw(over(single[which]));
    at([[sizes[size], 0], [sizes[size], plot.y.to]]);
    nameTruth(sizes[0], rate, "true rate = true I");
    const taken = [{ x: plot.left, y: plot.py(rate) - 0.8 * plot.unit, width: 18 * plot.unit }]; // by the name of the true rate
    const lines = [single[which], dependence[which], information[which], sizes.map(Math.log), sizes.map(() => rate)];
    names.forEach(({ words, put, width }, i) => {
      const place = freePlace(plot, sizes, lines, i, width(), taken);
      taken.push(place);
      put(plot.atX(place.x), plot.atY(place.y), words);
    });
    bars([information[which][size], dependence[which][size], Math.max(0, single[which][size])]);
    const n = sizes[size];
    const above = rate > Math.log(n);
    verdict(above
      ? `ln ${n} = ${shown(Math.log(n))} is below the rate ${rate}: the estimate of I cannot be right, and TC shows dependence that is not there.`
      : `ln ${n} = ${shown(Math.log(n))} is above the rate ${rate}. The more, the better the estimates.`, above ? "lit" : "good");
  };
});

showCheck();
