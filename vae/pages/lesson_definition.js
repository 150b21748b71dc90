// The lesson: the definition and its properties, of densities and of discrete distributions.

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
