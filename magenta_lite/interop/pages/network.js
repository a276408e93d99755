"use strict";
// Networks in plain numbers. A tensor is {shape, scale, numbers}: 16-bit whole numbers, row by row, each times the scale
// of its column, or all times the only one.
// States and activations are Float64Arrays [batch, size], row by row. The reading of weights takes most of the time, so
// several samples are computed at once, and weights stay in 16 bits.
const network = (() => {
  const FORGET_BIAS = 1;
  const LAYER_NORM_EPSILON = 1e-3;

  // Tensors by name, from a list of {name, shape, scale, numbers}; asking for one that is not there is an error.
  function named(list) {
    const known = new Map(list.map((tensor) => [tensor.name, tensor]));
    return (name) => {
      const tensor = known.get(name);
      if (!tensor) throw new Error(`the page holds no weights ${name}`);
      return tensor;
    };
  }

  // All numbers of a tensor, as they are used.
  function values(tensor) {
    const { scale } = tensor;
    return Float64Array.from(tensor.numbers, (number, i) => number * scale[i % scale.length]);
  }

  // Rows first..last-1 of a tensor [rows, outputs], made ready for `add`: turned, so that what one output needs lies
  // together.
  function matrix(tensor, first = 0, last = tensor.shape[0]) {
    const inputs = last - first;
    const outputs = tensor.shape[1];
    const numbers = new Int16Array(inputs * outputs);
    for (let i = 0; i < inputs; i++) {
      for (let j = 0; j < outputs; j++) numbers[j * inputs + i] = tensor.numbers[(first + i) * outputs + j];
    }
    const scale = Float64Array.from({ length: outputs }, (_, j) => tensor.scale[j % tensor.scale.length]);
    return { inputs, outputs, scale, numbers };
  }

  // out [batch, outputs] += x [batch, inputs] @ matrix.
  function add(out, x, matrix, batch = 1) {
    let b = 0;
    for (; b + 4 <= batch; b += 4) addFour(out, x, matrix, b);
    for (; b < batch; b++) addOne(out, x, matrix, b);
    return out;
  }

  function addOne(out, x, { inputs, outputs, scale, numbers }, b) {
    const from = b * inputs;
    const to = b * outputs;
    let j = 0;
    for (; j + 4 <= outputs; j += 4) {
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      const r0 = j * inputs, r1 = r0 + inputs, r2 = r1 + inputs, r3 = r2 + inputs;
      for (let i = 0; i < inputs; i++) {
        const value = x[from + i];
        s0 += value * numbers[r0 + i];
        s1 += value * numbers[r1 + i];
        s2 += value * numbers[r2 + i];
        s3 += value * numbers[r3 + i];
      }
      out[to + j] += s0 * scale[j];
      out[to + j + 1] += s1 * scale[j + 1];
      out[to + j + 2] += s2 * scale[j + 2];
      out[to + j + 3] += s3 * scale[j + 3];
    }
    for (; j < outputs; j++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += x[from + i] * numbers[j * inputs + i];
      out[to + j] += sum * scale[j];
    }
  }

  // Two outputs of four samples at a time: what is read once is used often.
  function addFour(out, x, { inputs, outputs, scale, numbers }, b) {
    const x0 = b * inputs, x1 = x0 + inputs, x2 = x1 + inputs, x3 = x2 + inputs;
    const o0 = b * outputs, o1 = o0 + outputs, o2 = o1 + outputs, o3 = o2 + outputs;
    for (let j = 0; j < outputs; j += 2) {
      const single = j + 1 === outputs;
      const r = j * inputs;
      const q = single ? r : r + inputs;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
      for (let i = 0; i < inputs; i++) {
        const w = numbers[r + i], v = numbers[q + i];
        const a = x[x0 + i], c = x[x1 + i], d = x[x2 + i], e = x[x3 + i];
        s0 += w * a;
        s1 += w * c;
        s2 += w * d;
        s3 += w * e;
        t0 += v * a;
        t1 += v * c;
        t2 += v * d;
        t3 += v * e;
      }
      out[o0 + j] += s0 * scale[j];
      out[o1 + j] += s1 * scale[j];
      out[o2 + j] += s2 * scale[j];
      out[o3 + j] += s3 * scale[j];
      if (single) break;
      out[o0 + j + 1] += t0 * scale[j + 1];
      out[o1 + j + 1] += t1 * scale[j + 1];
      out[o2 + j + 1] += t2 * scale[j + 1];
      out[o3 + j + 1] += t3 * scale[j + 1];
    }
  }

  // out[at...] += row `row` of a tensor [rows, outputs]: the product with a one-hot input, looked up.
  function addRow(out, at, tensor, row) {
    const { shape: [, outputs], scale, numbers } = tensor;
    const one = scale.length === 1;
    for (let j = 0, from = row * outputs; j < outputs; j++) out[at + j] += numbers[from + j] * scale[one ? 0 : j];
    return out;
  }

  // The same row for each of a batch.
  function repeated(row, batch) {
    const all = new Float64Array(row.length * batch);
    for (let b = 0; b < batch; b++) all.set(row, b * row.length);
    return all;
  }

  // A linear map: (x [batch, inputs], batch) -> [batch, outputs].
  function dense(kernel, bias) {
    const weights = matrix(kernel);
    const offset = bias ? values(bias) : new Float64Array(weights.outputs);
    return (x, batch = 1) => add(repeated(offset, batch), x, weights, batch);
  }

  const sigmoid = (value) => 1 / (1 + Math.exp(-value));

  // From gates [batch, 4 units], in the order i, g, f, o, the next c and h, in place. `normal` is for cells that
  // normalise c on its way out.
  function update(gates, c, h, units, batch, normal = null) {
    for (let b = 0; b < batch; b++) {
      const at = b * units;
      const from = 4 * at;
      for (let u = 0; u < units; u++) {
        const i = sigmoid(gates[from + u]);
        const g = Math.tanh(gates[from + units + u]);
        const f = sigmoid(gates[from + 2 * units + u] + FORGET_BIAS);
        c[at + u] = c[at + u] * f + i * g;
      }
    }
    const out = normal ? normal(c, batch) : c;
    for (let b = 0; b < batch; b++) {
      for (let u = 0; u < units; u++) {
        h[b * units + u] = Math.tanh(out[b * units + u]) * sigmoid(gates[(4 * b + 3) * units + u]);
      }
    }
  }

  // Normalises each of `groups` equal parts of every row by itself; (x [batch, size], batch) -> [batch, size].
  function layerNorm(gammas, betas, groups) {
    const gamma = values(gammas);
    const beta = values(betas);
    const size = gamma.length;
    const part = size / groups;
    return (x, batch) => {
      const out = new Float64Array(batch * size);
      for (let start = 0; start < batch * size; start += part) {
        let mean = 0;
        for (let i = 0; i < part; i++) mean += x[start + i];
        mean /= part;
        let variance = 0;
        for (let i = 0; i < part; i++) variance += (x[start + i] - mean) ** 2;
        const factor = 1 / Math.sqrt(variance / part + LAYER_NORM_EPSILON);
        const column = start % size;
        for (let i = 0; i < part; i++) {
          out[start + i] = (x[start + i] - mean) * factor * gamma[column + i] + beta[column + i];
        }
      }
      return out;
    };
  }

  // Cells have {units, stateSizes, shift(constants or null, batch), step(state, x, shift, batch) -> output}. State is a
  // list of arrays [batch, size], which a step changes in place. `weights(name)` gives the tensors; `inputs` are the
  // columns of x: further rows of the input matrix are for constants, whose product, the shift, is taken once.
  function lstm(weights, name, inputs) {
    const units = weights(`${name}.w_hh`).shape[0];
    const xh = matrix(weights(`${name}.w_xh`), 0, inputs);
    const hh = matrix(weights(`${name}.w_hh`));
    const constant = matrix(weights(`${name}.w_xh`), inputs);
    const bias = values(weights(`${name}.bias`));
    return {
      units,
      stateSizes: [units, units],
      shift(constants, batch = 1) {
        const shift = repeated(bias, batch);
        return constants ? add(shift, constants, constant, batch) : shift;
      },
      step([c, h], x, shift, batch = 1) {
        const gates = Float64Array.from(shift);
        add(gates, x, xh, batch);
        add(gates, h, hh, batch);
        update(gates, c, h, units, batch);
        return h;
      },
    };
  }

  // Gates are normalised one by one, and so is c on its way out. `inputs` may be several parts, x then being a list.
  function layerNormLstm(weights, name, ...inputs) {
    const tensor = weights(`${name}.w_xh`);
    const units = weights(`${name}.w_hh`).shape[0];
    let row = 0;
    const parts = inputs.map((size) => matrix(tensor, row, (row += size)));
    const constant = matrix(tensor, row);
    const hh = matrix(weights(`${name}.w_hh`));
    const gatesNorm = layerNorm(weights(`${name}.norm_gates.gamma`), weights(`${name}.norm_gates.beta`), 4);
    const cNorm = layerNorm(weights(`${name}.norm_c.gamma`), weights(`${name}.norm_c.beta`), 1);
    return {
      units,
      stateSizes: [units, units],
      shift(constants, batch = 1) {
        const shift = new Float64Array(batch * 4 * units);
        return constants ? add(shift, constants, constant, batch) : shift;
      },
      step([h, c], x, shift, batch = 1) {
        const gates = Float64Array.from(shift);
        (parts.length === 1 ? [x] : x).forEach((part, index) => add(gates, part, parts[index], batch));
        add(gates, h, hh, batch);
        update(gatesNorm(gates, batch), c, h, units, batch, cNorm);
        return h;
      },
    };
  }

  // A smaller layer-norm cell reads x and h, and rescales and shifts the gates of the main one.
  function hyperLstm(weights, name, inputs) {
    const units = weights(`${name}.w_hh`).shape[0];
    const hyper = layerNormLstm(weights, `${name}.hyper`, inputs, units);
    const xh = matrix(weights(`${name}.w_xh`), 0, inputs);
    const constant = matrix(weights(`${name}.w_xh`), inputs);
    const hh = matrix(weights(`${name}.w_hh`));
    const bias = values(weights(`${name}.bias`));
    const factors = ["x", "h", "b"].map((kind) => perGate(weights, name, kind));
    const gatesNorm = layerNorm(weights(`${name}.norm_gates.gamma`), weights(`${name}.norm_gates.beta`), 4);
    const cNorm = layerNorm(weights(`${name}.norm_c.gamma`), weights(`${name}.norm_c.beta`), 1);
    return {
      units,
      stateSizes: [units, hyper.units, units, hyper.units],
      shift(constants, batch = 1) {
        const shift = new Float64Array(batch * 4 * units);
        if (constants) add(shift, constants, constant, batch);
        return [shift, hyper.shift(constants, batch)];
      },
      step([h, hHyper, c, cHyper], x, shift, batch = 1) {
        const u = hyper.step([hHyper, cHyper], [x, h], shift[1], batch);
        const fromX = add(Float64Array.from(shift[0]), x, xh, batch);
        const fromH = add(new Float64Array(batch * 4 * units), h, hh, batch);
        const [byX, byH, gates] = factors.map((factor) => factor(u, batch));
        for (let i = 0; i < gates.length; i++) {
          gates[i] += byX[i] * fromX[i] + byH[i] * fromH[i] + bias[i % (4 * units)];
        }
        update(gatesNorm(gates, batch), c, h, units, batch, cNorm);
        return h;
      },
    };
  }

  // (u [batch, hyper units], batch) -> [batch, 4 units]: an embedding for each gate, then a map of that gate's own.
  function perGate(weights, name, kind) {
    const bias = kind === "b" ? null : weights(`${name}.bias_${kind}`); // the shift's embedding has none
    const embedding = dense(weights(`${name}.embed_${kind}`), bias);
    const tensor = weights(`${name}.scale_${kind}`);
    const [gates, size, units] = tensor.shape;
    const flat = { ...tensor, shape: [gates * size, units] };
    const maps = Array.from({ length: gates }, (_, gate) => matrix(flat, gate * size, (gate + 1) * size));
    return (u, batch) => {
      const all = embedding(u, batch);
      const out = new Float64Array(batch * gates * units);
      for (let b = 0; b < batch; b++) {
        for (let gate = 0; gate < gates; gate++) {
          const z = all.subarray((b * gates + gate) * size, (b * gates + gate + 1) * size);
          const to = (b * gates + gate) * units;
          add(out.subarray(to, to + units), z, maps[gate]);
        }
      }
      return out;
    };
  }

  const CELLS = { lstm, layer_norm: layerNormLstm, hyper: hyperLstm };

  // The state that is zero, or cut from rows [batch, sum of the sizes].
  function initialState(cell, batch = 1, flat = null) {
    const total = cell.stateSizes.reduce((sum, size) => sum + size, 0);
    let from = 0;
    return cell.stateSizes.map((size) => {
      const part = new Float64Array(batch * size);
      for (let b = 0; flat && b < batch; b++) {
        part.set(flat.subarray(b * total + from, b * total + from + size), b * size);
      }
      from += size;
      return part;
    });
  }

  // softmax(logits / temperature); at 0 the first of the largest has all.
  function softmax(logits, temperature = 1) {
    const largest = Math.max(...logits);
    const weights = Float64Array.from(logits, (value) => Math.exp((value - largest) / Math.max(temperature, 1e-30)));
    if (!(temperature > 0)) weights.fill(0)[logits.indexOf(largest)] = 1;
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  }

  // Which class a uniform number in [0, 1) draws from softmax(logits / temperature).
  function categorical(uniform, logits, temperature = 1) {
    const shares = softmax(logits, temperature);
    let sum = 0;
    for (let k = 0; k < shares.length - 1; k++) {
      sum += shares[k];
      if (uniform < sum) return k;
    }
    return shares.length - 1;
  }

  // Random numbers of a seed, a whole number: the same seed gives the same ones (sfc32, of Chris Doty-Humphrey).
  function random(seed) {
    let a = 0x9e3779b9, b = 0x243f6a88, c = seed | 0, count = 1;
    function uniform() {
      const sum = (((a + b) | 0) + count) | 0;
      count = (count + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = ((c << 21) | (c >>> 11)) + sum | 0;
      return (sum >>> 0) / 4294967296;
    }
    function normal() {
      return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    }
    function normals(length) {
      return Float64Array.from({ length }, normal);
    }
    for (let i = 0; i < 16; i++) uniform();
    return { uniform, normal, normals, categorical: (logits, t = 1) => categorical(uniform(), logits, t) };
  }

  return {
    named, values, matrix, add, addRow, repeated, dense, sigmoid, update, layerNorm, lstm, layerNormLstm, hyperLstm,
    CELLS, initialState, softmax, categorical, random,
  };
})();
