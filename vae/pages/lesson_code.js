// The lesson: the KL in code and in float32.

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
