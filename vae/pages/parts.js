// Parts that all pages share: elements, numbers as text, plots with axes, handles that one drags, bars.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `text` is its text; `on` its listeners by event; other keys are attributes (null leaves one out). */
function el(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

/** An SVG element, likewise. */
function svg(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

function furnished(element, { text, on, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  for (const [event, listener] of Object.entries(on ?? {})) element.addEventListener(event, listener);
  element.append(...children);
  return element;
}

const byId = (id) => document.getElementById(id);

/** A number as text with a true minus sign: fixed digits, or `significant` digits for very large and small ones. */
function shown(value, digits = 2) {
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size >= 1e5 || (size > 0 && size < 0.5 * 10 ** -digits && digits > 3) ? value.toExponential(1) : value.toFixed(digits);
  const isZero = /^-0(\.0*)?$/.test(text);
  return (isZero ? text.slice(1) : text).replace(/-/g, "−");
}

/** Round numbers between two ends, about `count` of them. */
function ticks(low, high, count = 5) {
  const raw = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((candidate) => candidate >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found.map((value) => Number(value.toPrecision(12)));
}

/** A plot with axes. Lengths are in the units of its viewBox; the element is as wide as its place.
 *
 * x, y: [low, high] of the axes. xTicks, yTicks: numbers, or a count; 0 for none. `plot.layer(name)` is a group that
 * `plot.clear(name)` empties. `plot.x(value)` and `plot.y(value)` are places, `plot.at(event)` is {x, y} under the pointer. */
function makePlot({ width = 480, height = 280, x, y, xLabel = "", yLabel = "", label = "", margin = {}, xTicks = 6, yTicks = 4, grid = true }) {
  const sides = { left: yLabel || yTicks ? 52 : 10, right: 12, top: 10, bottom: xLabel ? 44 : xTicks ? 26 : 8, ...margin };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "group", "aria-label": label });
  const axes = svg("g");
  root.append(axes);
  const layers = new Map();
  const plot = {
    root, width, height, sides,
    x: (value) => sides.left + ((value - plot.domain.x[0]) / (plot.domain.x[1] - plot.domain.x[0])) * (width - sides.left - sides.right),
    y: (value) => height - sides.bottom - ((value - plot.domain.y[0]) / (plot.domain.y[1] - plot.domain.y[0])) * (height - sides.top - sides.bottom),
    domain: { x, y },
    layer(name) {
      if (!layers.has(name)) {
        layers.set(name, svg("g", { class: name }));
        root.append(layers.get(name));
      }
      return layers.get(name);
    },
    clear(name) {
      plot.layer(name).replaceChildren();
      return plot.layer(name);
    },
    /** Change the ends of the axes, and draw them anew. */
    rescale(newX, newY) {
      plot.domain = { x: newX, y: newY };
      drawAxes();
    },
    at(event) {
      const matrix = root.getScreenCTM().inverse();
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
      const [x0, x1] = plot.domain.x, [y0, y1] = plot.domain.y;
      return {
        x: x0 + ((point.x - sides.left) / (width - sides.left - sides.right)) * (x1 - x0),
        y: y0 + ((height - sides.bottom - point.y) / (height - sides.top - sides.bottom)) * (y1 - y0),
      };
    },
    /** The path through points [[x, y], …]; those that are not finite are left out. */
    path(points) {
      const kept = points.filter(([a, b]) => Number.isFinite(a) && Number.isFinite(b));
      return kept.map(([a, b], i) => `${i ? "L" : "M"}${plot.x(a).toFixed(2)} ${plot.y(clamp(b, ...far(plot.domain.y))).toFixed(2)}`).join("");
    },
    curve: (points, kind = "") => svg("path", { d: plot.path(points), class: `curve ${kind}` }),
    /** The area between points and the line y = base. */
    area(points, kind = "area", base = 0) {
      if (!points.length) return svg("path", { class: kind });
      const closed = [[points[0][0], base], ...points, [points[points.length - 1][0], base]];
      return svg("path", { d: plot.path(closed) + "Z", class: kind });
    },
    line: (x1, y1, x2, y2, kind = "axis") => svg("line", { x1: plot.x(x1), y1: plot.y(y1), x2: plot.x(x2), y2: plot.y(y2), class: kind }),
    dot: (cx, cy, r = 4, kind = "dot") => svg("circle", { cx: plot.x(cx), cy: plot.y(cy), r, class: kind }),
    text: (px, py, text, attributes = {}) => svg("text", { x: plot.x(px), y: plot.y(py), text, ...attributes }),
  };
  function far([low, high]) {
    return [low - 5 * (high - low), high + 5 * (high - low)];
  }
  function drawAxes() {
    axes.replaceChildren();
    const [x0, x1] = plot.domain.x, [y0, y1] = plot.domain.y;
    const onX = Array.isArray(xTicks) ? xTicks : xTicks ? ticks(x0, x1, xTicks) : [];
    const onY = Array.isArray(yTicks) ? yTicks : yTicks ? ticks(y0, y1, yTicks) : [];
    for (const value of onX) {
      if (grid) axes.append(plot.line(value, y0, value, y1, "grid"));
      axes.append(svg("text", { x: plot.x(value), y: height - sides.bottom + 17, "text-anchor": "middle", class: "tick", text: tickText(value) }));
    }
    for (const value of onY) {
      if (grid) axes.append(plot.line(x0, value, x1, value, "grid"));
      axes.append(svg("text", { x: sides.left - 7, y: plot.y(value) + 4.5, "text-anchor": "end", class: "tick", text: tickText(value) }));
    }
    axes.append(svg("path", { d: `M${sides.left} ${sides.top}V${height - sides.bottom}H${width - sides.right}`, class: "axis" }));
    if (xLabel) axes.append(svg("text", { x: (sides.left + width - sides.right) / 2, y: height - 6, "text-anchor": "middle", class: "label", text: xLabel }));
    if (yLabel) {
      const middle = (sides.top + height - sides.bottom) / 2;
      axes.append(svg("text", { x: 14, y: middle, transform: `rotate(-90 14 ${middle})`, "text-anchor": "middle", class: "label", text: yLabel }));
    }
  }
  drawAxes();
  return plot;
}

const tickText = (value) => String(value).replace("-", "−");

/** Call `moved(event)` while the pointer is down on the element, from the first press on. */
function onDrag(element, moved, ended = () => {}) {
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    moved(event);
    const stop = () => {
      element.removeEventListener("pointermove", moved);
      element.removeEventListener("pointerup", stop);
      element.removeEventListener("pointercancel", stop);
      ended();
    };
    element.addEventListener("pointermove", moved);
    element.addEventListener("pointerup", stop);
    element.addEventListener("pointercancel", stop);
  });
}

/** A handle in a plot that is dragged, or moved by the arrow keys (ten times as far with Shift).
 *
 * x, y: its place; `along`: "x", "y" or "both"; `moved({x, y})` is called with a place within the axes.
 * `handle.put(x, y, words)` moves it, and sets what a screen reader says. */
function addHandle(plot, { x, y, along = "both", label, step = [0.1, 0.1], moved, r = 9, layer = "handles" }) {
  const dot = svg("circle", { r, class: "handle", tabindex: 0, role: "slider", "aria-label": label });
  const handle = {
    element: dot,
    put(newX, newY, words = null) {
      [handle.x, handle.y] = [newX, newY];
      dot.setAttribute("cx", plot.x(newX));
      dot.setAttribute("cy", plot.y(newY));
      dot.setAttribute("aria-valuenow", along === "y" ? newY : newX);
      const [low, high] = along === "y" ? plot.domain.y : plot.domain.x;
      dot.setAttribute("aria-valuemin", low);
      dot.setAttribute("aria-valuemax", high);
      dot.setAttribute("aria-valuetext", words ?? (along === "both" ? `${shown(newX)}, ${shown(newY)}` : shown(along === "y" ? newY : newX)));
    },
  };
  const go = (toX, toY) => {
    if (along !== "y") handle.x = clamp(toX, ...plot.domain.x); // at once: the page may draw only with the next frame,
    if (along !== "x") handle.y = clamp(toY, ...plot.domain.y); // and another key may be pressed before it
    moved({ x: handle.x, y: handle.y });
  };
  onDrag(dot, (event) => { const place = plot.at(event); go(place.x, place.y); });
  dot.addEventListener("keydown", (event) => {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    let direction = directions[event.key];
    if (!direction) return;
    if (along === "x") direction = [direction[0] || direction[1], 0];
    if (along === "y") direction = [0, direction[0] || direction[1]];
    event.preventDefault();
    const size = event.shiftKey ? 10 : 1;
    go(handle.x + size * step[0] * direction[0], handle.y + size * step[1] * direction[1]);
  });
  plot.layer(layer).append(dot);
  handle.put(x, y);
  return handle;
}

/** The first scale of 1, 2, 4, 8, ... times `least` that holds a value, so that bars do not change their scale often. */
function roundScale(value, least = 1) {
  let scale = least;
  while (Number.isFinite(value) && scale < value) scale *= 2;
  return scale;
}

/** Rows of signed bars on one scale: {root, set([{name, value, kind}], low, high)}. */
function makeBars(digits = 2) {
  const root = el("div", { class: "bars" });
  return {
    root,
    set(rows, low, high) {
      if (root.children.length !== 3 * rows.length) {
        root.replaceChildren(...rows.flatMap(() => [
          el("span"),
          el("span", { class: "track", "aria-hidden": "true" }, el("span", { class: "bar" }), el("span", { class: "zero" })),
          el("span", { class: "number" }),
        ]));
      }
      const place = (value) => (100 * (clamp(value, low, high) - low)) / (high - low);
      rows.forEach(({ name, value, kind }, i) => {
        const [title, track, number] = [...root.children].slice(3 * i, 3 * i + 3);
        title.textContent = name;
        title.className = `ink-${kind}`;
        number.textContent = shown(value, digits);
        const [bar, zero] = track.children;
        bar.className = `bar ${kind}`;
        bar.style.left = `${Math.min(place(0), place(value))}%`;
        bar.style.width = `${Math.abs(place(value) - place(0))}%`;
        zero.style.left = `${place(0)}%`;
      });
    },
  };
}

/** Do `work` once before the next frame, however often it is asked for. */
function onceAFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; work(); });
  };
}

/** The data that the page carries, by the id of its element. */
const carried = (id) => JSON.parse(byId(id).textContent);

/** The bytes that the page carries: seven bits a character, compressed. */
async function carriedBytes(id) {
  const text = byId(id).textContent;
  const packed = new Uint8Array(Math.floor((text.length * 7) / 8));
  let bits = 0, held = 0, place = 0;
  for (let i = 0; i < text.length; i++) {
    held = (held << 7) | (text.charCodeAt(i) & 127);
    bits += 7;
    if (bits >= 8) {
      bits -= 8;
      packed[place++] = (held >> bits) & 255;
      held &= (1 << bits) - 1;
    }
  }
  const stream = new Blob([packed.subarray(0, place)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
