"use strict";
/* The decoder of MusicVAE: from z to the events of a slice, and from these to notes. It runs in a worker (`serve`).

   A decoder reads at each step the event before, an embedding (z, or what a conductor says of a bar) and, where it is
   told chords, the chord; its first state is tanh of a linear map of the embedding. */

const MELODY_OFF = 1, MELODY_FIRST = 2, LOWEST = 21;
const SLOW = 250; // ms: what takes longer is given up as soon as something newer is asked for
const TURN = 12; // ms of work before messages are looked at

function beginning(weights, name) {
  const map = network.dense(weights(`${name}.kernel`), weights(`${name}.bias`));
  return (embedding) => map(embedding).map(Math.tanh);
}

/* What a core says of a step: {depth, nothing(), read(out, kernel, event), draw(numbers, temperature, noise)}. */
function outputOf(weights, name, { kind, sizes, depth, hidden }) {
  const share = (logit, temperature) => network.sigmoid(logit / Math.max(temperature, 1e-30));
  const hit = (logit, temperature, noise) => {
    const uniform = noise.uniform();
    return (temperature > 0 ? uniform : 0.5) < share(logit, temperature) ? 1 : 0;
  };
  const readDense = (kernel) => {
    const rows = network.matrix(kernel, 0, depth);
    return (out, event) => network.add(out, Float64Array.from(event), rows);
  };
  if (kind === "categorical") {
    return {
      depth: sizes.reduce((sum, size) => sum + size, 0),
      nothing: () => sizes.map(() => -1),
      reader: (kernel) => (out, event) => {
        let row = 0;
        sizes.forEach((size, stream) => {
          if (event[stream] >= 0) network.addRow(out, 0, kernel, row + event[stream]);
          row += size;
        });
      },
      draw(numbers, temperature, noise) {
        let from = 0;
        return sizes.map((size) => {
          const logits = numbers.subarray(from, (from += size)), uniform = noise.uniform();
          if (!(temperature > 0)) return logits.indexOf(Math.max(...logits));
          return network.categorical(uniform, logits, temperature);
        });
      },
    };
  }
  if (kind === "nade") {
    const enter = weights(`${name}.w_enc`), leave = network.values(weights(`${name}.w_dec`));
    return {
      depth, nothing: () => new Array(depth).fill(0), reader: readDense,
      draw(numbers, temperature, noise) {
        const units = Float64Array.from(numbers.subarray(0, hidden)), event = [];
        for (let i = 0; i < depth; i++) {
          let logit = numbers[hidden + i];
          for (let k = 0; k < hidden; k++) logit += network.sigmoid(units[k]) * leave[i * hidden + k];
          event.push(hit(logit, temperature, noise));
          if (event[i]) network.addRow(units, 0, enter, i);
        }
        return event;
      },
    };
  }
  const drums = depth / 3;
  return {
    depth, nothing: () => new Array(depth).fill(0), reader: readDense,
    draw: (numbers, temperature, noise) => Array.from(numbers, (value, i) =>
      i < drums ? hit(value, temperature, noise) : i < 2 * drums ? network.sigmoid(value) : Math.tanh(value)),
  };
}

/* A stack over steps, and the output that it feeds. */
function coreOf(weights, name, about, embeddingSize, controls, sizes, residual) {
  const stack = stackOf(weights, `${name}.stack`, sizes, residual);
  const output = outputOf(weights, `${name}.output`, about), read = output.reader(stack.kernel);
  const last = output.depth + embeddingSize;
  const embed = network.matrix(stack.kernel, output.depth, last);
  const begin = beginning(weights, `${name}.to_state`);
  const project = network.dense(weights(`${name}.projection.kernel`), weights(`${name}.projection.bias`));
  return {
    output, stateSizes: stack.stateSizes,
    /* Draws `steps` events behind `before` one by one; returns [events, flat last state]. */
    * play(before, embedding, chords, steps, how) {
      const state = stack.cut(begin(embedding));
      const always = network.add(Float64Array.from(stack.bias), embedding, embed);
      const events = [];
      for (let t = 0; t < steps; t++) {
        const drive = Float64Array.from(always);
        read(drive, before);
        if (controls) network.addRow(drive, 0, stack.kernel, last + chords[t]);
        const numbers = project(stack.step(drive, state));
        before = output.draw(numbers, how.temperature, how.noise);
        if (how.outputs) how.outputs.push([name, Array.from(numbers)]);
        events.push(before);
        yield;
      }
      return [events, flattened(state)];
    },
  };
}

function flattened(parts) {
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/* The decoder of a page's settings and weights: decode(z, {temperature, seed, chords, outputs}) is a generator that
   rests after every step and returns the events of the slice, [steps][numbers]. outputs: a list for what is said. */
function decoderOf(settings, list) {
  const weights = network.named(list), { sizes, residual, lengths, conductorInput, controls, barSteps } = settings.decoder;
  const embeddingSize = lengths ? sizes[sizes.length - 1] : settings.latent;
  const cores = settings.outputs.map((about, n) =>
    coreOf(weights, `decoder.cores.${n}`, about, embeddingSize, controls, sizes, residual));
  const levels = (lengths || []).map((length, n) => {
    const name = `decoder.conductors.stacks.${n}`, stack = stackOf(weights, name, sizes, residual);
    return {
      length, stack, begin: beginning(weights, `decoder.conductors.maps.${n}`),
      matrix: conductorInput === "none" ? null : network.matrix(stack.kernel),
    };
  });
  const below = levels.map((_, n) => n + 1 < levels.length ? 2 * sizes.reduce((a, b) => a + b, 0)
    : cores.reduce((sum, core) => sum + core.stateSizes.reduce((a, b) => a + b, 0), 0));

  function* bar(embedding, left, how) {
    const drawn = [], states = [], from = left.bar++ * barSteps;
    for (const [n, core] of cores.entries()) {
      const chords = how.chords && how.chords.slice(from, from + barSteps);
      const [events, state] = yield* core.play(left.before[n], embedding, chords, barSteps, how);
      left.before[n] = events[events.length - 1];
      drawn.push(events);
      states.push(state);
    }
    for (let t = 0; t < barSteps; t++) left.events.push(drawn.flatMap((events) => events[t]));
    return flattened(states);
  }

  function* level(n, embedding, left, how) {
    if (n === levels.length) return yield* bar(embedding, left, how);
    const { length, stack, begin, matrix } = levels[n], state = stack.cut(begin(embedding));
    let fed = new Float64Array(below[n]);
    for (let i = 0; i < length; i++) {
      const read = Float64Array.from(stack.bias);
      if (matrix) network.add(read, flattened([fed, embedding]), matrix);
      const said = stack.step(read, state);
      yield;
      fed = yield* level(n + 1, said, left, how);
    }
    return flattened(state);
  }

  return function* decode(z, { temperature = 0, seed = 0, chords = null, outputs = null }) {
    const how = { temperature, chords, outputs, noise: network.random(seed) };
    const left = { bar: 0, before: cores.map((core) => core.output.nothing()), events: [] };
    yield* level(0, Float64Array.from(z), left, how);
    return left.events;
  };
}

/* Notes {start, end (steps), pitch, velocity, kind} of a slice's events, as the codec makes them. */
function notesOf(settings, events) {
  const notes = [], steps = events.length;
  const melody = (stream, kind) => {
    let open = null;
    events.forEach((event, step) => {
      const number = event[stream];
      if (number >= MELODY_OFF && open) {
        open.end = step;
        open = null;
      }
      if (number < MELODY_FIRST) return;
      open = { start: step, end: steps, pitch: number - MELODY_FIRST + LOWEST, velocity: 80, kind };
      notes.push(open);
    });
  };
  const strike = (drum, start, velocity) => {
    notes.push({ start, end: start + 1, pitch: settings.drums[drum], velocity, kind: "drum" });
  };
  const struck = (stream) => events.forEach((event, step) => {
    settings.drums.forEach((_, drum) => (event[stream] >> drum) & 1 && strike(drum, step, 80));
  });
  if (settings.kind === "melody" || settings.kind === "trio") melody(0, "piano");
  if (settings.kind === "trio") melody(1, "bass");
  if (settings.kind === "trio") struck(2);
  if (settings.kind === "drums") struck(0);
  if (settings.kind === "drum_roll") {
    events.forEach((event, step) => event.forEach((hit, drum) => hit && strike(drum, step, 80)));
  }
  if (settings.kind === "groove") {
    const count = settings.drums.length;
    events.forEach((event, step) => {
      for (let drum = 0; drum < count; drum++) {
        if (!(event[drum] > 0.5)) continue;
        const late = Math.min(Math.max(-event[2 * count + drum] / 2, -0.5), 0.5);
        const velocity = Math.min(Math.max(Math.round(event[count + drum] * 127), 1), 127);
        strike(drum, Math.max(step + late, 0), velocity);
      }
    });
  }
  return notes;
}

/* The worker: {settings, tensors} first; then {slice: {...}}, of which the last one counts, and {cells: [...]}, which
   are done when there is no slice to make, in their order; a new list replaces the one before. */
function serve(send) {
  let settings, decode, slice = null, cells = [], running = null, took = 0, asleep = true;
  const channel = new MessageChannel();
  channel.port1.onmessage = turn;

  function next() {
    const job = slice || cells.shift();
    if (!job) return null;
    const cell = !slice;
    slice = null;
    return { job, cell, work: 0, steps: decode(job.z, job) };
  }

  function turn() {
    const begin = performance.now();
    // A cell makes way for a slice and is made again later; a slice that takes long, for a newer one.
    if (running && slice && (running.cell || took > SLOW)) {
      if (running.cell) cells.unshift(running.job);
      running = null;
    }
    running ??= next();
    while (running && performance.now() - begin < TURN) {
      const { value, done } = running.steps.next();
      if (!done) continue;
      const work = running.work + performance.now() - begin;
      if (!running.cell) took = work;
      send({ kind: running.cell ? "cell" : "slice", job: running.job.number, notes: notesOf(settings, value), work });
      running = null;
      break;
    }
    if (running) running.work += performance.now() - begin;
    asleep = !running && !slice && !cells.length;
    if (!asleep) channel.port2.postMessage(null);
  }

  return (message) => {
    if (message.tensors) {
      settings = message.settings;
      decode = decoderOf(settings, message.tensors);
      return;
    }
    if (message.slice) slice = message.slice;
    if (message.cells) {
      cells = message.cells;
      if (running && running.cell) running = null;
    }
    if (asleep) {
      asleep = false;
      channel.port2.postMessage(null);
    }
  };
}
