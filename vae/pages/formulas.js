// Divergences and entropies in closed form, in nats, as in vae/probability. They touch no page, and any script may use
// them. A Gaussian is given by its mean and its log-variance ln(sigma^2); a discrete distribution by its probabilities.

const LN_2PI = Math.log(2 * Math.PI);

// ---- One Gaussian ----

// ln N(x; mean, exp(logvar)).
function logNormal(x, mean, logvar) {
  return -0.5 * ((x - mean) ** 2 * Math.exp(-logvar) + logvar + LN_2PI);
}

// KL(N(mean, exp(logvar)) || N(0, 1)) of one latent. expm1, because exp(logvar) - 1 loses its digits near the prior.
function klStandard(mean, logvar) {
  return 0.5 * (mean * mean + (Math.expm1(logvar) - logvar));
}

// The three terms of klStandard. Each is zero at the prior, and they sum to the KL.
function klStandardTerms(mean, logvar) {
  return { variance: 0.5 * Math.expm1(logvar), mean: 0.5 * mean * mean, logvar: -0.5 * logvar };
}

// The gradient of klStandard: with respect to the mean, and to the log-variance.
function klStandardGradient(mean, logvar) {
  return { mean: mean, logvar: 0.5 * Math.expm1(logvar) };
}

// ---- Two Gaussians ----

// KL(p || q) of two Gaussians on a line. In units of q's sigma and mean, q is N(0, 1).
function klNormal1d(meanP, logvarP, meanQ, logvarQ) {
  return klStandard((meanP - meanQ) * Math.exp(-0.5 * logvarQ), logvarP - logvarQ);
}

// The four terms of KL(q || p) in a plane, with covariances [[a, b], [b, d]], and the KL: half their signed sum.
// NaN if a covariance is not positive definite.
function klNormal2d(meanQ, covarianceQ, meanP, covarianceP) {
  const rootQ = cholesky2d(covarianceQ);
  const rootP = cholesky2d(covarianceP);
  const first = solveLower2d(rootP, [rootQ[0][0], rootQ[1][0]]);
  const second = solveLower2d(rootP, [0, rootQ[1][1]]);
  const step = solveLower2d(rootP, [meanP[0] - meanQ[0], meanP[1] - meanQ[1]]);
  const trace = first[0] ** 2 + first[1] ** 2 + second[1] ** 2;
  const distance = step[0] ** 2 + step[1] ** 2;
  const logdet = 2 * (Math.log(rootP[0][0] / rootQ[0][0]) + Math.log(rootP[1][1] / rootQ[1][1]));
  return { trace, distance, dimension: 2, logdet, kl: 0.5 * (trace + distance - 2 + logdet) };
}

// The lower triangular root of a covariance in a plane.
function cholesky2d(covariance) {
  const first = Math.sqrt(covariance[0][0]);
  const below = covariance[1][0] / first;
  return [[first, 0], [below, Math.sqrt(covariance[1][1] - below * below)]];
}

// x of root x = b, for a lower triangular root.
function solveLower2d(root, b) {
  const x = b[0] / root[0][0];
  return [x, (b[1] - root[1][0] * x) / root[1][1]];
}

// The covariance of an ellipse whose half axes are the standard deviations, the first one turned by `angle` (radians).
function covarianceOfAxes(along, across, angle) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const [u, v] = [along * along, across * across];
  return [[c * c * u + s * s * v, c * s * (u - v)], [c * s * (u - v), s * s * u + c * c * v]];
}

// KL(N(0, S) || N(0, diagonal of S)) of two latents with this correlation: their total correlation.
function totalCorrelation2d(correlation) {
  return -0.5 * Math.log1p(-correlation * correlation);
}

// ---- Discrete distributions ----

// x ln y, which is zero for x = 0 even if y = 0.
function xlogy(x, y) {
  return x === 0 ? 0 : x * Math.log(y);
}

function sumOf(values) {
  return values.reduce((total, value) => total + value, 0);
}

// H(P) = -sum p ln p.
function entropy(p) {
  return -sumOf(p.map((x) => xlogy(x, x)));
}

// H(P, Q) = -sum p ln q. Infinite if an outcome of P has probability zero under Q.
function crossEntropy(p, q) {
  return -sumOf(p.map((x, i) => xlogy(x, q[i])));
}

// KL(P || Q) = sum p ln(p / q). Infinite if an outcome of P has probability zero under Q.
function klCategorical(p, q) {
  return sumOf(p.map((x, i) => xlogy(x, x) - xlogy(x, q[i])));
}

// The row sums and the column sums of a joint table p(x, z): the distributions of x and of z.
function marginals(joint) {
  return { x: joint.map(sumOf), z: joint[0].map((_, j) => sumOf(joint.map((row) => row[j]))) };
}

// I(X; Z) = KL(p(x, z) || p(x) p(z)) of a joint table.
function mutualInformation(joint) {
  const { x, z } = marginals(joint);
  return klCategorical(joint.flat(), x.flatMap((px) => z.map((pz) => px * pz)));
}

// ---- Numerics ----

// ln sum exp(values), without overflow.
function logSumExp(values) {
  const largest = Math.max(...values);
  if (!Number.isFinite(largest)) return largest;
  return largest + Math.log(sumOf(values.map((value) => Math.exp(value - largest))));
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// What `clamp` lets through of a gradient: nothing outside the bounds.
function clampGradient(value, low, high, gradient) {
  return value < low || value > high ? 0 : gradient;
}

// What vae.probability.distributions.bound_logvar lets through: outside, a gradient that leads back, whatever came in.
function boundGradient(logvar, low, high, gradient, rows = 1) {
  const beyond = logvar - clamp(logvar, low, high);
  const reach = high - low;
  return beyond === 0 ? gradient : (Math.sign(beyond) + clamp(beyond, -reach, reach)) / rows;
}

// The KL as float32 computes it from exp(logvar) - 1 - logvar, each operation rounded.
function klStandardByExp32(mean, logvar) {
  const f = Math.fround;
  const [mu, lv] = [f(mean), f(logvar)];
  return f(0.5 * f(f(f(f(Math.exp(lv)) + f(mu * mu)) - 1) - lv));
}

// The KL as float32 computes it with expm1, each operation rounded.
function klStandardByExpm132(mean, logvar) {
  const f = Math.fround;
  const [mu, lv] = [f(mean), f(logvar)];
  return f(0.5 * f(f(mu * mu) + f(f(Math.expm1(lv)) - lv)));
}

// ln sum exp(values) as float32 computes it without the trick: exp overflows above 88.7 and vanishes below -103.97.
function logSumExpNaive32(values) {
  const f = Math.fround;
  return f(Math.log(values.reduce((total, value) => f(total + f(Math.exp(f(value)))), 0)));
}

// The area under f between two ends, by Simpson's rule over an even number of steps.
function integral(f, from, to, steps = 2000) {
  const width = (to - from) / steps;
  let total = f(from) + f(to);
  for (let i = 1; i < steps; i += 1) total += (i % 2 === 1 ? 4 : 2) * f(from + i * width);
  return (total * width) / 3;
}
