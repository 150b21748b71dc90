// The forward pass of a trained model in plain typed arrays. It computes what torch does; the weights are rounded.

/** Reads numbers of known types from bytes, one after another. */
function makeReader(bytes) {
  let place = 0;
  return {
    floats(count) {
      const found = new Float32Array(bytes.slice(place, place + 4 * count).buffer);
      place += 4 * count;
      return found;
    },
    /** Whole numbers in planes of bytes, times the step. */
    steps(count, planes, step) {
      const found = new Float32Array(count), offset = 2 ** (8 * planes - 1);
      for (let i = 0; i < count; i++) {
        let value = 0;
        for (let plane = 0; plane < planes; plane++) value = value * 256 + bytes[place + plane * count + i];
        found[i] = (value - offset) * step;
      }
      place += planes * count;
      return found;
    },
    signedBytes(count) {
      const found = new Int8Array(bytes.slice(place, place + count).buffer);
      place += count;
      return found;
    },
  };
}

const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

/** The numbers of weights and biases of a layer; 0 where it has none. */
function sizesOf(layer) {
  if (layer.kind === "linear") return [layer.inputs * layer.outputs, layer.outputs];
  if (layer.kernel) return [layer.inputs * layer.outputs * product(layer.kernel), layer.outputs];
  return [0, 0];
}

function readLayers(layers, reader) {
  return layers.map((layer) => {
    const [weights, biases] = sizesOf(layer);
    if (!weights) return layer;
    return { ...layer, weight: reader.steps(weights, layer.planes, layer.step), bias: reader.floats(biases) };
  });
}

/** A model of the page: its layers with their weights, and the posterior means of the map's images. */
function readModel(plain, bytes, shape, mapCount) {
  const reader = makeReader(bytes);
  const encoder = readLayers(plain.encoder, reader);
  const decoder = readLayers(plain.decoder, reader);
  const eachPixel = plain.likelihood.kind === "gaussian" && plain.likelihood.logvar === null;
  const logvars = eachPixel ? reader.floats(product(shape)) : null;
  const points = Float32Array.from(reader.signedBytes(mapCount * plain.latents), (v) => v * plain.mapScale);
  return { ...plain, encoder, decoder, logvars, points, shape };
}

const ACTIVATIONS = {
  relu: (v) => (v > 0 ? v : 0),
  tanh: Math.tanh,
  silu: (v) => v / (1 + Math.exp(-v)),
  gelu: (v) => (v * (1 + errorFunction(v / Math.SQRT2))) / 2,
};

/** erf: Abramowitz & Stegun (1964), 7.1.26, with an error below 1.5e-7. */
function errorFunction(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const polynomial = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  const size = 1 - polynomial * Math.exp(-x * x);
  return x < 0 ? -size : size;
}

/** The output of the layers for one input. `shape` is [channels, height, width] where it matters. */
function forward(layers, input, shape) {
  let values = input, size = shape;
  for (const layer of layers) {
    if (layer.kind === "shape") size = layer.shape;
    else if (layer.kind === "linear") values = linear(layer, values);
    else if (layer.kind === "convolution") [values, size] = convolution(layer, values, size);
    else if (layer.kind === "transposedConvolution") [values, size] = transposedConvolution(layer, values, size);
    else {
      const activation = ACTIVATIONS[layer.kind];
      values = values.map(activation);
    }
  }
  return values;
}

/** weight (outputs, inputs) times the input, plus the bias. Inputs that are 0 are left out: digits have many. */
function linear({ inputs, outputs, weight, bias }, input) {
  const output = new Float32Array(outputs), used = new Int32Array(inputs);
  let count = 0;
  for (let i = 0; i < inputs; i++) if (input[i] !== 0) used[count++] = i;
  for (let o = 0; o < outputs; o++) {
    const row = o * inputs;
    let sum = bias[o];
    if (count === inputs) for (let i = 0; i < inputs; i++) sum += weight[row + i] * input[i];
    else for (let k = 0; k < count; k++) sum += weight[row + used[k]] * input[used[k]];
    output[o] = sum;
  }
  return output;
}

/** The first and the end of the places i with 0 <= i * stride + offset < length, below `count`. */
function within(count, stride, offset, length) {
  const first = Math.max(0, Math.ceil(-offset / stride));
  return [first, Math.min(count, Math.floor((length - 1 - offset) / stride) + 1)];
}

/** A convolution: weight (outputs, inputs, height, width). */
function convolution({ inputs, outputs, kernel, stride, padding, weight, bias }, input, [, height, width]) {
  const [kernelY, kernelX] = kernel, [strideY, strideX] = stride, [padY, padX] = padding;
  const high = Math.floor((height + 2 * padY - kernelY) / strideY) + 1;
  const wide = Math.floor((width + 2 * padX - kernelX) / strideX) + 1;
  const output = new Float32Array(outputs * high * wide);
  for (let o = 0; o < outputs; o++) {
    output.fill(bias[o], o * high * wide, (o + 1) * high * wide);
    for (let c = 0; c < inputs; c++) for (let ky = 0; ky < kernelY; ky++) for (let kx = 0; kx < kernelX; kx++) {
      const factor = weight[((o * inputs + c) * kernelY + ky) * kernelX + kx];
      const [firstY, endY] = within(high, strideY, ky - padY, height);
      const [firstX, endX] = within(wide, strideX, kx - padX, width);
      for (let y = firstY; y < endY; y++) {
        const from = (c * height + y * strideY + ky - padY) * width + kx - padX;
        const to = (o * high + y) * wide;
        for (let x = firstX; x < endX; x++) output[to + x] += factor * input[from + x * strideX];
      }
    }
  }
  return [output, [outputs, high, wide]];
}

/** A transposed convolution: weight (inputs, outputs, height, width). */
function transposedConvolution({ inputs, outputs, kernel, stride, padding, outputPadding, weight, bias }, input, [, height, width]) {
  const [kernelY, kernelX] = kernel, [strideY, strideX] = stride, [padY, padX] = padding;
  const high = (height - 1) * strideY - 2 * padY + kernelY + outputPadding[0];
  const wide = (width - 1) * strideX - 2 * padX + kernelX + outputPadding[1];
  const output = new Float32Array(outputs * high * wide);
  for (let o = 0; o < outputs; o++) {
    output.fill(bias[o], o * high * wide, (o + 1) * high * wide);
    for (let c = 0; c < inputs; c++) for (let ky = 0; ky < kernelY; ky++) for (let kx = 0; kx < kernelX; kx++) {
      const factor = weight[((c * outputs + o) * kernelY + ky) * kernelX + kx];
      const [firstY, endY] = within(height, strideY, ky - padY, high);
      const [firstX, endX] = within(width, strideX, kx - padX, wide);
      for (let y = firstY; y < endY; y++) {
        const to = (o * high + y * strideY + ky - padY) * wide + kx - padX;
        const from = (c * height + y) * width;
        for (let x = firstX; x < endX; x++) output[to + x * strideX] += factor * input[from + x];
      }
    }
  }
  return [output, [outputs, high, wide]];
}

/** q(z|x): the means and the bounded log-variances of the latents. */
function encode(model, x) {
  const output = forward(model.encoder, x, model.shape), [low, high] = model.logvarBounds;
  return {
    mean: output.slice(0, model.latents),
    logvar: output.slice(model.latents).map((v) => clamp(v, low, high)),
  };
}

/** What the decoder computes from z: a logit of each pixel for a Bernoulli likelihood, a mean for a Gaussian. */
const decode = (model, z) => forward(model.decoder, Float32Array.from(z), null);

/** The mean of p(x|z), from what the decoder computed. */
function pixelMeans(model, output) {
  return model.likelihood.kind === "bernoulli" ? output.map((v) => 1 / (1 + Math.exp(-v))) : output;
}

/** -ln p(x|z) in nats, summed over the pixels, from what the decoder computed. */
function distortionOf(model, x, output) {
  let sum = 0;
  if (model.likelihood.kind === "bernoulli") {
    for (let i = 0; i < x.length; i++) {
      const logit = output[i];
      sum += Math.max(logit, 0) - logit * x[i] + Math.log1p(Math.exp(-Math.abs(logit)));
    }
    return sum;
  }
  for (let i = 0; i < x.length; i++) {
    const logvar = model.logvars ? model.logvars[i] : model.likelihood.logvar;
    sum += 0.5 * (Math.log(2 * Math.PI) + logvar + (x[i] - output[i]) ** 2 * Math.exp(-logvar));
  }
  return sum;
}
