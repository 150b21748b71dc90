// The lesson: beta, and information theory.

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
