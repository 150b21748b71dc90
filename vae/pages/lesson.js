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
