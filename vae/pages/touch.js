// Plots that are drawn again from a state, on top of parts.js: a figure has a state, handles and controls change it, and
// then all its marks are drawn. A plot is as wide as its place and its text has the size of the page's, on phones too;
// axes may be logarithmic.

let clipCount = 0; // of the plots, for ids

// A small number as a power of ten: 3.00e−8.
function smallText(value) {
  return value === 0 || !Number.isFinite(value) ? shown(value, 0) : value.toExponential(2).replace("e+", "e").replaceAll("-", "−");
}

// A whole number with a space before each three digits.
function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u00a0");
}

// A figure whose parts are drawn again together. `build` fills it and returns what draws it.
function touchFigure(id, build) {
  const root = byId(id);
  const figure = { root, plots: [], draws: [] };
  figure.draw = () => figure.draws.forEach((draw) => draw());
  figure.draws.push(build(figure));
  figure.plots.forEach((plot) => plot.resize());
  figure.draw();
  new ResizeObserver(() => {
    if (figure.plots.filter((plot) => plot.resize()).length > 0) figure.draw();
  }).observe(root);
  return figure;
}

// A plot in a figure. `x` and `y` have `from`, `to`, and perhaps `label`, `log`, `ticks`, `format` and `grid`. `height` is in
// rem; with `square` a unit is equally long on both axes.
function touchPlot(figure, { x, y, label, height = 15, square = false, axes = true, parent = figure.root }) {
  const clip = `clip-${(clipCount += 1)}`;
  const area = svg("rect");
  const scales = svg("g", { "aria-hidden": "true" });
  const marks = svg("g", { "clip-path": `url(#${clip})` });
  const texts = svg("g", { class: "texts" });
  const handles = svg("g");
  const defs = svg("defs", {}, svg("clipPath", { id: clip }, area));
  const root = svg("svg", { class: "plot", role: "group", "aria-label": label }, defs, scales, marks, texts, handles);
  parent.append(root);
  const plot = { root, x, y, marks, texts, handles, grips: [], width: 0, height: 0, unit: 16 };
  const scaled = (axis, value) => (axis.log ? Math.log(value) : value);
  const share = (axis, value) =>
    (scaled(axis, value) - scaled(axis, axis.from)) / (scaled(axis, axis.to) - scaled(axis, axis.from));
  const value = (axis, part) => {
    const found = scaled(axis, axis.from) + part * (scaled(axis, axis.to) - scaled(axis, axis.from));
    return axis.log ? Math.exp(found) : found;
  };
  plot.px = (at) => plot.left + share(x, at) * plot.inner;
  plot.py = (at) => plot.top + (1 - share(y, at)) * plot.tall;
  plot.atX = (px) => value(x, (px - plot.left) / plot.inner);
  plot.atY = (py) => value(y, 1 - (py - plot.top) / plot.tall);

  // Lays the plot out anew for the width of its parent, and says whether that changed.
  plot.resize = () => {
    const width = parent.clientWidth;
    const unit = parseFloat(getComputedStyle(document.documentElement).fontSize);
    if (width === 0 || (width === plot.width && unit === plot.unit)) return false;
    Object.assign(plot, { width, unit });
    plot.left = axes ? (y.label || y.ticks !== "none" ? 2.9 : 0.8) * unit : 2;
    plot.right = 0.9 * unit;
    plot.top = (y.label ? 1.7 : 0.7) * unit;
    plot.bottom = (axes ? (x.label ? 2.7 : 1.5) : 0.2) * unit;
    plot.inner = width - plot.left - plot.right;
    plot.tall = square ? (plot.inner * (y.to - y.from)) / (x.to - x.from) : height * unit - plot.top - plot.bottom;
    plot.height = plot.top + plot.tall + plot.bottom;
    root.setAttribute("viewBox", `0 0 ${width} ${plot.height}`);
    root.setAttribute("width", width);
    root.setAttribute("height", plot.height);
    for (const [key, size] of [["x", plot.left], ["y", plot.top], ["width", plot.inner], ["height", plot.tall]]) {
      area.setAttribute(key, size);
    }
    plot.drawAxes();
    return true;
  };

  // Draws lines, ticks and names of the axes; again if an axis has changed.
  plot.drawAxes = () => {
    scales.replaceChildren();
    if (!axes) return;
    const { unit } = plot;
    const bottom = plot.top + plot.tall;
    for (const at of x.ticks === "none" ? [] : x.ticks || ticks(x.from, x.to, plot.inner / (4.2 * unit))) {
      const place = plot.px(at);
      const line = { x1: place, x2: place, y1: plot.top, y2: bottom, class: at === 0 ? "axis" : "grid" };
      if (x.grid !== false) scales.append(svg("line", line));
      const text = (x.format || tickText)(at);
      scales.append(svg("text", { x: place, y: bottom + 1.15 * unit, "text-anchor": "middle", class: "tick", text }));
    }
    for (const at of y.ticks === "none" ? [] : y.ticks || ticks(y.from, y.to, plot.tall / (2.6 * unit))) {
      const place = plot.py(at);
      const line = { x1: plot.left, x2: plot.left + plot.inner, y1: place, y2: place, class: at === 0 ? "axis" : "grid" };
      if (y.grid !== false) scales.append(svg("line", line));
      const text = (y.format || tickText)(at);
      scales.append(svg("text", { x: plot.left - 0.45 * unit, y: place + 0.3 * unit, "text-anchor": "end", class: "tick", text }));
    }
    scales.append(svg("line", { x1: plot.left, x2: plot.left + plot.inner, y1: bottom, y2: bottom, class: "axis" }));
    if (x.label) {
      const place = { x: plot.left + plot.inner, y: bottom + 2.4 * unit, "text-anchor": "end", class: "label", text: x.label };
      scales.append(svg("text", place));
    }
    if (y.label) scales.append(svg("text", { x: 0, y: 0.95 * unit, class: "label", text: y.label }));
  };

  // A line through points [x, y]; a point that is not finite interrupts it.
  plot.curve = (className) => {
    const path = svg("path", { class: `curve ${className}` });
    marks.append(path);
    return (points) => path.setAttribute("d", pathThrough(plot, points));
  };

  // A filled shape through points [x, y].
  plot.shape = (className) => {
    const path = svg("path", { class: `shape ${className}` });
    marks.append(path);
    return (points) => path.setAttribute("d", points.length > 0 ? `${pathThrough(plot, points)}Z` : "");
  };

  // A disc; hidden if its place is not finite.
  plot.dot = (className, radius = 0.3) => {
    const circle = svg("circle", { class: `dot ${className}` });
    marks.append(circle);
    return (at, up) => {
      circle.toggleAttribute("hidden", !(Number.isFinite(at) && Number.isFinite(up)));
      if (circle.hasAttribute("hidden")) return;
      circle.setAttribute("r", radius * plot.unit);
      circle.setAttribute("cx", plot.px(at));
      circle.setAttribute("cy", plot.py(up));
    };
  };

  // A text at a place, moved by `dx` and `dy` rem.
  plot.text = (className, { anchor = "middle", dx = 0, dy = 0 } = {}) => {
    const text = svg("text", { class: className, "text-anchor": anchor });
    texts.append(text);
    return (at, up, words) => {
      text.setAttribute("x", plot.px(at) + dx * plot.unit);
      text.setAttribute("y", plot.py(up) + dy * plot.unit);
      if (text.textContent !== words) text.textContent = words;
    };
  };

  plot.handle = (options) => touchHandle(figure, plot, options);
  dragNearest(plot);
  figure.plots.push(plot);
  return plot;
}

// The path through points, in the pixels of a plot. Far outside, coordinates are cut, because browsers draw them wrongly.
function pathThrough(plot, points) {
  let text = "";
  let drawing = false;
  for (const [x, y] of points) {
    const [px, py] = [plot.px(x), plot.py(y)];
    const drawn = Number.isFinite(px) && !Number.isNaN(py);
    if (drawn) text += `${drawing ? "L" : "M"}${clamp(px, -1e4, 1e4).toFixed(1)},${clamp(py, -1e4, 1e4).toFixed(1)}`;
    drawing = drawn;
  }
  return text;
}

// Drags the handle whose centre is nearest to the pointer, for they may overlap: at the same place, the one used last.
// A finger on a handle drags it, elsewhere on the plot it scrolls the page. Browsers take touch-action from the whole svg.
function dragNearest(plot) {
  let [held, last, offset] = [null, null, null]; // offset: from the pointer to the place, so that the handle does not jump
  const pick = (px, py) => {
    const far = (grip) => Math.hypot(grip.px - px, grip.py - py) - (grip === last ? 0.2 * plot.unit : 0);
    return plot.grips.reduce((best, grip) => (far(grip) <= far(best) ? grip : best));
  };
  const dragged = (event) => {
    const box = plot.root.getBoundingClientRect();
    const zoom = plot.width / box.width;
    const [px, py] = [(event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom];
    if (held === null) {
      held = last = pick(px, py);
      const [x, y] = held.at();
      offset = [plot.px(x) - px, plot.py(y) - py];
      held.element.focus({ preventScroll: true });
    }
    if (event.type === "pointermove") held.set(plot.atX(px + offset[0]), plot.atY(py + offset[1]));
  };
  onDrag(plot.handles, dragged, () => { held = null; });
  for (const name of ["mousedown", "touchstart"]) { // which would move the focus, and scroll
    plot.handles.addEventListener(name, (event) => event.preventDefault(), { passive: false });
  }
}

// A round handle: dragged, or moved by keys when it has the focus. `at` gives its place, `move(x, y)` sets it, and `said`
// gives its value in words. `step` is that of an arrow: [along x, along y], 0 where it does not move that way. A handle
// that moves along one axis listens to all four arrows. `keyed`, if given, takes their steps instead. Home and End go to
// the ends, from and to: with `put` if the value is not the place.
function touchHandle(figure, plot, { label, className = "", at, move, keyed, said, value, put, from, to, step = [0.1, 0.1] }) {
  const reach = svg("circle", { class: "reach" });
  const disc = svg("circle", { class: "disc" });
  const element = svg("g", { class: `grip ${className}`, tabindex: 0, role: "slider", "aria-label": label }, reach, disc);
  plot.handles.append(element);
  const axis = step[0] === 0 ? plot.y : plot.x;
  const set = (x, y) => {
    move(x, y);
    figure.draw();
  };
  put ??= (end) => move(...(step[0] === 0 ? [at()[0], end] : [end, at()[1]]));
  const grip = { element, at, set, px: 0, py: 0 };
  plot.grips.push(grip);
  const keys = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1], PageDown: [0, -1], PageUp: [0, 1],
  };
  element.addEventListener("keydown", (event) => {
    const key = keys[event.key];
    const end = { Home: from ?? axis.from, End: to ?? axis.to }[event.key];
    if ((!key && end === undefined) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (end !== undefined) {
      put(end);
      figure.draw();
      return;
    }
    const along = key[0] + key[1];
    const times = event.key.startsWith("Page") ? 10 : event.shiftKey ? 5 : 1;
    if (keyed) {
      keyed(along * times);
      figure.draw();
      return;
    }
    const ways = step[0] === 0 ? [0, along] : step[1] === 0 ? [along, 0] : key;
    const [x, y] = at();
    set(stepped(plot.x, x, ways[0] * step[0] * times), stepped(plot.y, y, ways[1] * step[1] * times));
  });
  figure.draws.push(() => {
    const [x, y] = at();
    grip.px = clamp(plot.px(x), plot.left, plot.left + plot.inner); // at the edge, if its place lies outside
    grip.py = clamp(plot.py(y), plot.top, plot.top + plot.tall);
    for (const circle of [reach, disc]) {
      circle.setAttribute("cx", grip.px);
      circle.setAttribute("cy", grip.py);
    }
    reach.setAttribute("r", 1.35 * plot.unit);
    disc.setAttribute("r", 0.55 * plot.unit);
    const now = value ? value() : step[0] === 0 ? y : x;
    element.setAttribute("aria-valuemin", from ?? axis.from);
    element.setAttribute("aria-valuemax", to ?? axis.to);
    element.setAttribute("aria-valuenow", Number(now.toPrecision(6)));
    element.setAttribute("aria-valuetext", said());
  });
}

// A value moved by a step of its axis; on a logarithmic axis the step is one of the logarithm.
function stepped(axis, value, step) {
  return axis.log ? value * Math.exp(step) : value + step;
}

// The parts as they are shown: rounded, and such that they add up to the rounded sum. The one at `rest` makes up for it.
function addingUp(parts, rest, digits = 2) {
  if (!parts.every(Number.isFinite)) return parts;
  const round = (value) => Number(value.toFixed(digits));
  const others = parts.filter((_, i) => i !== rest).map(round);
  return parts.map((part, i) => round(i === rest ? round(sumOf(parts)) - sumOf(others) : part));
}

// Says where the bars end, as they change their scale. `both`: on both sides of zero.
function touchScale(parent, unit, both = false) {
  const line = el("p", { class: "scale" });
  parent.append(line);
  return (scale) => {
    const ends = both ? `−${scale} and ${scale}` : String(scale);
    line.textContent = `The bars end at ${ends}${unit && ` ${unit}${scale === 1 ? "" : "s"}`}.`;
  };
}

// Signed bars from a common zero, with names and numbers: rows of { name, className }. The result draws their values.
function touchBars(figure, rows, { least = 1, label, negative = true, unit = "nat", parent = figure.root, digits = 2 }) {
  const list = el("dl", { class: "terms", "aria-label": label });
  const drawn = rows.map(({ name, className }) => {
    const number = el("output", { class: "number" });
    const bar = el("span", { class: `bar ${className}` });
    const track = el("span", { class: `track ${negative ? "signed" : ""}`, "aria-hidden": "true" }, bar);
    const title = el("dt", { class: className });
    title.append(name);
    list.append(title, el("dd", {}, track, number));
    return { bar, number };
  });
  parent.append(list);
  const ends = touchScale(parent, unit, negative);
  return (values) => {
    const scale = roundScale(Math.max(...values.filter(Number.isFinite).map(Math.abs), 0), least);
    ends(scale);
    const zero = negative ? 50 : 0;
    const room = negative ? 50 : 100;
    values.forEach((value, i) => {
      const length = Number.isFinite(value) ? (Math.abs(value) / scale) * room : room;
      drawn[i].bar.style.left = `${value < 0 ? zero - length : zero}%`;
      drawn[i].bar.style.width = `${length}%`;
      drawn[i].bar.classList.toggle("endless", !Number.isFinite(value));
      drawn[i].number.textContent = shown(value, digits);
    });
  };
}

// One bar of parts that add up, above another one of the same scale: rows of [{ name, className }].
function touchStacks(figure, rows, { least = 1, label, digits = 2, parent = figure.root }) {
  const list = el("div", { class: "stacks", role: "group", "aria-label": label });
  const drawn = rows.map((parts) => {
    const bar = el("div", { class: "stack" });
    const made = parts.map(({ name, className }) => {
      const number = el("output");
      const part = el("span", { class: `part ${className}`, "aria-hidden": "true" });
      const key = el("span", { class: `key ${className}` }, el("i"), `${name} `, number);
      return { part, number, key };
    });
    bar.append(...made.map(({ part }) => part));
    list.append(el("div", { class: "keys" }, ...made.map(({ key }) => key)), bar);
    return made;
  });
  parent.append(list);
  const ends = touchScale(list, "nat");
  return (values) => {
    const totals = values.map((parts) => sumOf(parts.filter(Number.isFinite)));
    const scale = roundScale(Math.max(...totals), least);
    ends(scale);
    values.forEach((parts, i) =>
      parts.forEach((value, j) => {
        const { part, number } = drawn[i][j];
        part.style.width = `${Number.isFinite(value) ? (100 * Math.max(0, value)) / scale : 100}%`;
        part.classList.toggle("endless", !Number.isFinite(value));
        number.textContent = shown(value, digits);
      }),
    );
  };
}

// A line of named numbers: names by key. The result shows texts by key.
function touchNumbers(figure, names, { parent = figure.root } = {}) {
  const list = el("dl", { class: "readout" });
  const outputs = {};
  for (const [key, name] of Object.entries(names)) {
    outputs[key] = el("output");
    const title = el("dt", { class: `read-${key}` });
    title.append(name);
    list.append(el("div", {}, title, el("dd", {}, outputs[key])));
  }
  parent.append(list);
  return (texts) => {
    for (const [key, text] of Object.entries(texts)) outputs[key].textContent = text;
  };
}

// A slider with its name and value: `get` and `set` the state, `said` the value in words.
function touchSlider(figure, { label, from, to, step, get, set, said, parent = figure.root }) {
  const input = el("input", { type: "range", min: from, max: to, step, "aria-label": label });
  const output = el("output");
  parent.append(el("label", { class: "slide" }, el("span", {}, label), input, output));
  input.addEventListener("input", () => {
    set(Number(input.value));
    figure.draw();
  });
  figure.draws.push(() => {
    if (Number(input.value) !== get()) input.value = get();
    input.setAttribute("aria-valuetext", said());
    output.textContent = said();
  });
}

// A row of buttons: what each does to the state, by its text.
function touchButtons(figure, actions, { parent = figure.root } = {}) {
  const row = el("div", { class: "buttons" });
  for (const [text, act] of Object.entries(actions)) {
    const button = el("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      act();
      figure.draw();
    });
    row.append(button);
  }
  parent.append(row);
  return row;
}

// A caption that says what to try, and a line that says what is true now.
function touchCaption(figure, text) {
  figure.root.append(el("figcaption", {}, text));
}

function touchVerdict(figure, { parent = figure.root } = {}) {
  const line = el("p", { class: "verdict" });
  parent.append(line);
  return (text, kind = "") => {
    line.className = `verdict ${kind}`;
    line.textContent = text;
  };
}

// `count` evenly spaced numbers with both ends.
function evenly(from, to, count) {
  return Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
}
