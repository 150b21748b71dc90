// The lesson: posteriors over a prior, Gaussians in a plane, and the closed form.

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
