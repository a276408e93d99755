"use strict";
// SketchRNN in the browser. A row is (dx, dy, down, up, end); offsets are in units of the model's scale.
const sketchRnn = (() => {
  const INPUTS = 5;
  const UP = 1, END = 2;
  const ATANH_RHO_MAX = 6;

  function model(settings, tensors) {
    const weights = network.named(tensors);
    const decoder = network.CELLS[settings.decoderCell](weights, "decoder", INPUTS);
    const output = network.dense(weights("output.kernel"), weights("output.bias"));
    const outputs = 3 + 6 * settings.mixtures;
    let encoder = null;
    if (settings.latent) {
      const map = (name) => network.dense(weights(`${name}.kernel`), weights(`${name}.bias`));
      const cell = (name) => network.CELLS[settings.encoderCell](weights, name, INPUTS);
      encoder = { forward: cell("forward"), backward: cell("backward"), mean: map("mean"), logVar: map("log_var"),
        toState: map("to_state") };
    }

    // What the model is told of a class, or nothing.
    function told(label) {
      return settings.labels.length ? network.addRow(new Float64Array(settings.labelSize), 0, weights("label"), label)
        : null;
    }

    // Mean and standard deviation of z, for a beginning of at least one row.
    function posterior(rows, label) {
      const constants = told(label);
      const finals = [[encoder.forward, rows], [encoder.backward, [...rows].reverse()]].map(([cell, read]) => {
        const state = network.initialState(cell);
        const shift = cell.shift(constants);
        let h = null;
        for (const row of read) h = cell.step(state, Float64Array.from(row), shift);
        return [...h];
      });
      const final = Float64Array.from(finals.flat());
      return { mean: encoder.mean(final), deviation: encoder.logVar(final).map((value) => Math.exp(value / 2)) };
    }

    // State and shift of `batch` drawings before their first row; z is [batch, latent], or null.
    function begin(z, label, batch) {
      const size = settings.latent + settings.labelSize;
      const constants = size ? new Float64Array(batch * size) : null;
      const name = told(label);
      for (let b = 0; b < batch; b++) {
        if (z) constants.set(z.subarray(b * settings.latent, (b + 1) * settings.latent), b * size);
        if (name) constants.set(name, b * size + settings.latent);
      }
      const flat = z ? encoder.toState(z, batch).map(Math.tanh) : null;
      return { state: network.initialState(decoder, batch, flat), shift: decoder.shift(constants, batch) };
    }

    // What the network says after reading rows [batch, 5]: [batch, 3 + 6 mixtures]. The state goes on.
    function step({ state, shift }, rows, batch) {
      return output(decoder.step(state, rows, shift, batch), batch);
    }

    // The parameters that sample b's outputs stand for.
    function parameters(said, b) {
      const of = (part) => said.subarray(b * outputs + 3 + part * settings.mixtures,
        b * outputs + 3 + (part + 1) * settings.mixtures);
      return {
        pen: said.subarray(b * outputs, b * outputs + 3),
        logits: of(0),
        muX: of(1),
        muY: of(2),
        logSigmaX: of(3).map((value) => Math.max(value, settings.logSigmaMin)),
        logSigmaY: of(4).map((value) => Math.max(value, settings.logSigmaMin)),
        rho: of(5).map((value) => Math.tanh(Math.min(Math.max(value, -ATANH_RHO_MAX), ATANH_RHO_MAX))),
      };
    }

    // The next point (dx, dy, pen): logits are divided by the temperature, the variance is multiplied by it. Each point
    // takes four numbers of the noise, so that the same noise means the same at another temperature.
    function draw(said, b, noise, temperature) {
      const { pen, logits, muX, muY, logSigmaX, logSigmaY, rho } = parameters(said, b);
      const state = network.categorical(noise.uniform(), pen, temperature);
      const k = network.categorical(noise.uniform(), logits, temperature);
      const radius = Math.sqrt(-2 * temperature * Math.log(1 - noise.uniform()));
      const angle = 2 * Math.PI * noise.uniform();
      const a = radius * Math.cos(angle), c = radius * Math.sin(angle);
      return [
        muX[k] + Math.exp(logSigmaX[k]) * a,
        muY[k] + Math.exp(logSigmaY[k]) * (rho[k] * a + Math.sqrt(1 - rho[k] * rho[k]) * c),
        state,
      ];
    }

    return { posterior, begin, step, parameters, draw };
  }

  // (dx, dy, pen) as a row that the network reads.
  function row([dx, dy, pen]) {
    return [dx, dy, Number(pen === 0), Number(pen === UP), Number(pen === END)];
  }

  const START = [0, 0, 1, 0, 0];

  // The rows `kept` of arrays [batch, ...] in a tree of lists.
  function pick(tree, kept, batch) {
    if (Array.isArray(tree)) return tree.map((part) => pick(part, kept, batch));
    const size = tree.length / batch;
    const picked = new Float64Array(kept.length * size);
    kept.forEach((from, to) => picked.set(tree.subarray(from * size, (from + 1) * size), to * size));
    return picked;
  }

  // Endings of a beginning, in turns: draws of one are given as they come, [which, dx, dy, pen].
  //
  // A request: beginning, [[dx, dy, lifted]]; label; latent, "posterior" or "prior"; temperature; seed; count.
  function* endings(net, settings, request, memory) {
    const { beginning, label, temperature, seed, count } = request;
    const key = JSON.stringify([beginning, label, request.latent, seed, count]);
    if (memory.key !== key) {
      memory.key = null;
      memory.primed = yield* primed(net, settings, request);
      memory.key = key;
    }
    const all = [...Array(count).keys()];
    let state = pick(memory.primed.state, all, count);
    let shift = memory.primed.shift;
    let said = memory.primed.said;
    let numbers = all;
    // As many points as training drawings have, or half of that beyond a long beginning.
    const steps = Math.max(settings.longest, beginning.length + Math.floor(settings.longest / 2));
    const noise = all.map((number) => network.random(seed * 1009 + number));
    for (let position = beginning.length; position < steps && numbers.length; position++) {
      const points = numbers.map((number, b) => [number, ...net.draw(said, b, noise[number], temperature)]);
      yield points;
      const kept = numbers.map((_, b) => b).filter((b) => points[b][3] !== END);
      if (kept.length < numbers.length) {
        [state, shift] = [pick(state, kept, numbers.length), pick(shift, kept, numbers.length)];
        numbers = kept.map((b) => numbers[b]);
      }
      if (!numbers.length || position + 1 === steps) return;
      const rows = Float64Array.from(kept.flatMap((b) => row(points[b].slice(1))));
      said = net.step({ state, shift }, rows, numbers.length);
    }
  }

  // State, shift and outputs of `count` drawings that have read the beginning.
  function* primed(net, settings, { beginning, label, latent, seed, count }) {
    let z = null;
    if (settings.latent) {
      z = network.random(seed * 1009 + 997).normals(count * settings.latent);
      if (latent === "posterior" && beginning.length) {
        const { mean, deviation } = net.posterior(beginning.map(row), label);
        z = z.map((value, i) => mean[i % settings.latent] + deviation[i % settings.latent] * value);
      }
    }
    const batch = z ? count : 1; // without z all are alike until the first point is drawn
    const begun = net.begin(z, label, batch);
    let said = null;
    for (const read of [START, ...beginning.map(row)]) {
      said = net.step(begun, Float64Array.from(Array(batch).fill(read).flat()), batch);
      yield [];
    }
    const all = [...Array(count).keys()].map((number) => Math.min(number, batch - 1));
    const spread = (tree) => pick(tree, all, batch);
    return { state: spread(begun.state), shift: spread(begun.shift), said: spread(said) };
  }

  return { model, row, endings, START, UP, END };
})();

// Answers {settings, tensors}, once, and then each request with its points as they come: {token, points}, and at last
// {token, done}. A new request ends the one before. Between steps whoever else waits has its turn.
function serve(send) {
  let net = null, settings = null, current = 0;
  const memory = {};
  const channel = new MessageChannel();
  const turns = [];
  channel.port1.onmessage = () => turns.shift()();
  const turn = () => new Promise((resolve) => {
    turns.push(resolve);
    channel.port2.postMessage(null);
  });
  return async (message) => {
    if (message.tensors) {
      settings = message.settings;
      net = sketchRnn.model(settings, message.tensors);
      return;
    }
    const token = (current = message.token);
    for (const points of sketchRnn.endings(net, settings, message, memory)) {
      if (points.length) send({ token, points });
      await turn();
      if (token !== current) return;
    }
    send({ token, done: true });
  };
}
