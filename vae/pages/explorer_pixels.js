// The explorer: pixels on canvases, and a picture of one's own as x.

// ---- Pixels ----

/** Values of x as bytes of an image, where data.shown is black and white. */
function toRgba(values, target = new Uint8ClampedArray(4 * height * width)) {
  const [black, white] = data.shown, scale = 255 / (white - black), area = height * width;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) target[4 * i + c] = (values[(channels === 3 ? c * area : 0) + i] - black) * scale;
    target[4 * i + 3] = 255;
  }
  return target;
}

/** Show values of x on a canvas. */
function paint(canvas, values) {
  paintRgba(canvas, toRgba(values));
}

function paintRgba(canvas, rgba) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

/** x minus the mean: in one channel orange where x has more, blue where it has less; in three channels around grey. */
function paintDifference(canvas, x, mean) {
  const [black, white] = data.shown, area = height * width, rgba = new Uint8ClampedArray(4 * area);
  for (let i = 0; i < area; i++) {
    const part = (c) => clamp((x[c * area + i] - mean[c * area + i]) / (white - black), -1, 1);
    const colour = channels === 3 ? [0, 1, 2].map((c) => 128 + 127 * part(c)) : part(0) > 0 ? [255, 150, 80].map((v) => v * part(0)) : [90, 160, 255].map((v) => -v * part(0));
    rgba.set([...colour, 255], 4 * i);
  }
  paintRgba(canvas, rgba);
}

/** The images that the page carries, as values of x. */
function readImages(bytes) {
  const { count, format } = data.images, found = [];
  const floats = format === "floats" ? new Float32Array(bytes.buffer, bytes.byteOffset, count * pixels) : null;
  for (let image = 0; image < count; image++) {
    const x = new Float32Array(pixels);
    for (let i = 0; i < pixels; i++) {
      const at = image * pixels + i;
      x[i] = floats ? floats[at] : format === "bits" ? (bytes[at >> 3] >> (7 - (at & 7))) & 1 : bytes[at] / 255;
    }
    found.push(x);
  }
  return found;
}

/** Numbers in [0, 1) that are the same each time (mulberry32). */
function makeUniform(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A standard normal number, by Box and Muller. */
const normal = (uniform) => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

// ---- An image of one's own ----

/** The grey values or colours of a canvas, in [0, 1], channels first. */
function valuesOf(canvas) {
  const { data: rgba } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const area = canvas.width * canvas.height, values = new Float32Array(channels * area);
  for (let i = 0; i < area; i++) {
    const [r, g, b] = [rgba[4 * i] / 255, rgba[4 * i + 1] / 255, rgba[4 * i + 2] / 255];
    if (channels === 1) values[i] = 0.299 * r + 0.587 * g + 0.114 * b; // ITU-R BT.601, as in the training
    else [r, g, b].forEach((v, c) => { values[c * area + i] = v; });
  }
  return values;
}

/** Draw a picture into a new canvas of this size: smaller by halves, so that every pixel counts. */
function resizedTo(source, sourceX, sourceY, sourceWidth, sourceHeight, toWidth, toHeight, place, behind = "#000") {
  let current = source, [x, y, w, h] = [sourceX, sourceY, sourceWidth, sourceHeight];
  while (w > 2 * place.width && h > 2 * place.height) {
    const half = makeCanvas(Math.round(w / 2), Math.round(h / 2));
    smooth(half).drawImage(current, x, y, w, h, 0, 0, half.width, half.height);
    [current, x, y, w, h] = [half, 0, 0, half.width, half.height];
  }
  const result = makeCanvas(toWidth, toHeight), context = smooth(result);
  context.fillStyle = behind;
  context.fillRect(0, 0, toWidth, toHeight);
  context.drawImage(current, x, y, w, h, place.x, place.y, place.width, place.height);
  return result;
}

function makeCanvas(canvasWidth, canvasHeight) {
  return el("canvas", { width: Math.max(1, canvasWidth), height: Math.max(1, canvasHeight) });
}

function smooth(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  return context;
}

/** x of a picture: as MNIST was made (LeCun et al., 1998), or as `fitted` has it. */
function fromPicture(source) {
  if (byId("invert").checked) source = inverted(source);
  if (byId("centre").checked && source !== byId("pad")) source = cutOut(source);
  const canvas = byId("centre").checked ? centredLikeMnist(source) : fitted(source);
  let values = canvas ? valuesOf(canvas) : new Float32Array(pixels);
  if (data.binarised) {
    const uniform = makeUniform(1);
    values = values.map((v) => (uniform() < v ? 1 : 0));
  }
  const [black, white] = data.shown;
  return data.unitInterval ? values : values.map((v) => black + v * (white - black));
}

function inverted(source) {
  const result = makeCanvas(source.width, source.height), context = smooth(result);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, result.width, result.height);
  context.globalCompositeOperation = "difference";
  context.drawImage(source, 0, 0);
  return result;
}

/** The grey value of pixel i of an image's bytes, from 0 to 255. */
const luma = (rgba, i) => 0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2];

/** The mean colour of the border of a picture, from 0 to 255. */
function borderColour(source) {
  const { data: rgba } = smooth(source).getImageData(0, 0, source.width, source.height);
  const [w, h] = [source.width, source.height], border = [];
  for (let x = 0; x < w; x++) border.push(x, (h - 1) * w + x);
  for (let y = 0; y < h; y++) border.push(y * w, y * w + w - 1);
  return [0, 1, 2].map((c) => sumOf(border.map((i) => rgba[4 * i + c])) / border.length);
}

const isBright = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b > 127;

/** Whether the images of the data lie on black: then a picture on white is swapped. */
function dataLieOnBlack() {
  if (channels !== 1) return false;
  const [black, white] = data.shown, middle = (black + white) / 2;
  return wall.filter(({ x }) => x[0] + x[width - 1] + x[pixels - width] + x[pixels - 1] > 4 * middle).length < wall.length / 2;
}

/** The light ink of a photograph on pure black. Paper is brighter here and darker there: what counts is by how much a
 * pixel is above the mean of its surroundings (Bradley & Roth, 2007), and the threshold is that of Otsu (1979). */
function cutOut(source) {
  const scale = Math.min(1, 400 / Math.max(source.width, source.height));
  const [w, h] = [Math.max(1, Math.round(source.width * scale)), Math.max(1, Math.round(source.height * scale))];
  const result = resizedTo(source, 0, 0, source.width, source.height, w, h, { x: 0, y: 0, width: w, height: h });
  const context = result.getContext("2d"), image = context.getImageData(0, 0, w, h);
  const values = Float64Array.from({ length: w * h }, (_, i) => luma(image.data, i)), around = meansAround(values, w, h);
  const above = values.map((v, i) => Math.max(0, v - around[i]));
  const { low, high } = twoGroups(above);
  for (let i = 0; i < w * h; i++) {
    const value = (255 * (above[i] - (low + (high - low) / 4))) / Math.max(1, 0.75 * (high - low));
    image.data.set([value, value, value, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return result;
}

/** The mean of the square around each pixel, half as wide as the image. */
function meansAround(values, w, h) {
  const sums = new Float64Array((w + 1) * (h + 1)), reach = Math.ceil(Math.max(w, h) / 4);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    sums[(y + 1) * (w + 1) + x + 1] = values[y * w + x] + sums[y * (w + 1) + x + 1] + sums[(y + 1) * (w + 1) + x] - sums[y * (w + 1) + x];
  }
  return values.map((_, i) => {
    const [x, y] = [i % w, Math.floor(i / w)];
    const [x0, x1, y0, y1] = [Math.max(0, x - reach), Math.min(w, x + reach + 1), Math.max(0, y - reach), Math.min(h, y + reach + 1)];
    const sum = sums[y1 * (w + 1) + x1] - sums[y0 * (w + 1) + x1] - sums[y1 * (w + 1) + x0] + sums[y0 * (w + 1) + x0];
    return sum / ((x1 - x0) * (y1 - y0));
  });
}

/** The means of the two groups, low and high, between which the values from 0 to 255 differ most. */
function twoGroups(values) {
  const counts = new Array(256).fill(0);
  for (const v of values) counts[Math.min(255, Math.round(v))]++;
  const all = sumOf(counts.map((count, v) => count * v));
  let best = { between: -1, low: 0, high: 255 }, below = 0, sumBelow = 0;
  for (let v = 0; v < 255; v++) {
    below += counts[v];
    sumBelow += v * counts[v];
    if (!below || below === values.length) continue;
    const [low, high] = [sumBelow / below, (all - sumBelow) / (values.length - below)];
    const between = below * (values.length - below) * (high - low) ** 2;
    if (between > best.between) best = { between, low, high };
  }
  return best;
}

/** The picture in the size of x, as the training did it: `fit`, `crop` or `stretch`. Where all its pictures had one size,
 * a picture of another is fitted, and the room beside it gets the colour of its border. */
function fitted(source) {
  const across = width / source.width, down = height / source.height;
  const scale = data.resize === "crop" ? Math.max(across, down) : Math.min(across, down);
  const place = data.resize === "stretch" ? { width, height } : { width: source.width * scale, height: source.height * scale };
  place.x = (width - place.width) / 2;
  place.y = (height - place.height) / 2;
  const behind = data.resize === null ? `rgb(${borderColour(source).join(" ")})` : data.background;
  return resizedTo(source, 0, 0, source.width, source.height, width, height, place, behind);
}

/** The ink fitted into 20/28 of the image, with its centre of mass in the middle. Null if there is no ink. */
function centredLikeMnist(source) {
  const { data: rgba } = smooth(source).getImageData(0, 0, source.width, source.height);
  const ink = (x, y) => luma(rgba, y * source.width + x);
  let [left, right, top, bottom] = [Infinity, -1, Infinity, -1];
  for (let y = 0; y < source.height; y++) for (let x = 0; x < source.width; x++) {
    if (ink(x, y) < 40) continue;
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  if (right < 0) return null;
  const [inkWidth, inkHeight] = [right - left + 1, bottom - top + 1];
  const scale = Math.min((width * 20) / 28 / inkWidth, (height * 20) / 28 / inkHeight);
  const box = { width: inkWidth * scale, height: inkHeight * scale };
  const put = (x, y) => resizedTo(source, left, top, inkWidth, inkHeight, width, height, { ...box, x, y });
  const [x, y] = [(width - box.width) / 2, (height - box.height) / 2];
  const values = valuesOf(put(x, y));
  let [mass, atX, atY] = [0, 0, 0];
  for (let i = 0; i < height * width; i++) {
    mass += values[i];
    atX += values[i] * ((i % width) + 0.5);
    atY += values[i] * (Math.floor(i / width) + 0.5);
  }
  return put(x + Math.round(width / 2 - atX / mass), y + Math.round(height / 2 - atY / mass));
}
