"use strict";
/* Performance RNN, event by event, and what events do: notes that begin and end. It runs in a worker (`serve`). */

const TURN = 12; // ms of work before messages are looked at
const PLAIN_VELOCITY = 100; // where there are no velocities, or not yet

/* {restart(seed), advance(tokens, told) -> logits, next({temperature, ...told}) -> {event, begun, ended}, time}.

   told: {density: a bin, histogram: 12 shares, told: 1 or 0}, as far as the model knows of them. Times are in steps.
   begun: notes {id, start, pitch, velocity}, told when time moves on, so that notes of no length are none; an end
   belongs to the note of its pitch that began first. */
function streamOf(settings, list) {
  const weights = network.named(list), { fields, conditions, offsets, longest } = settings;
  const stack = stackOf(weights, "stack", settings.sizes, settings.residual);
  const project = network.dense(weights("output.kernel"), weights("output.bias"));
  const columns = stack.bias.length, starts = fields.map((_, i) => fields.slice(0, i).reduce((a, b) => a + b, 0));
  const rows = { told: 1, density: settings.densityBins, histogram: 12 };
  const eventRows = conditions.reduce((sum, name) => sum + rows[name], 0);
  const histogramRow = eventRows - 12;
  let state, last, noise, time, velocity, open, fresh, id;

  function restart(seed) {
    state = stack.cut(null);
    last = settings.first;
    noise = network.random(seed);
    [time, velocity, open, fresh, id] = [0, PLAIN_VELOCITY, new Map(), [], 0];
  }

  function addScaled(out, row, factor) {
    if (factor === 1) return network.addRow(out, 0, stack.kernel, row);
    if (factor === 0) return out;
    const added = network.addRow(new Float64Array(columns), 0, stack.kernel, row);
    for (let j = 0; j < columns; j++) out[j] += factor * added[j];
    return out;
  }

  function advance(tokens, told) {
    const read = Float64Array.from(stack.bias);
    tokens.forEach((token, field) => network.addRow(read, 0, stack.kernel, eventRows + starts[field] + token));
    const heard = conditions.includes("told") ? told.told : 1;
    let row = 0;
    if (conditions.includes("told")) addScaled(read, row++, 1 - heard);
    if (conditions.includes("density")) addScaled(read, row + told.density, heard);
    if (conditions.includes("histogram")) {
      told.histogram.forEach((share, pitchClass) => addScaled(read, histogramRow + pitchClass, heard * share));
    }
    return project(stack.step(read, state));
  }

  // Time moves on: what began is told of, but for what has ended already.
  function moved(steps) {
    time += steps;
    return steps > 0 ? fresh.splice(0) : [];
  }

  function noteOff(pitch) {
    const waiting = open.get(pitch);
    if (!waiting || !waiting.length) return [];
    const note = waiting.shift();
    if (note.start < time) return [{ id: note.id, end: Math.min(time, note.start + longest) }];
    fresh.splice(fresh.indexOf(note), 1);
    return [];
  }

  function noteOn(pitch) {
    const note = { id: id++, start: time, pitch, velocity: Math.min(velocity, 127) };
    fresh.push(note);
    if (!open.has(pitch)) open.set(pitch, []);
    open.get(pitch).push(note);
  }

  // What an event of one number does.
  function change(event) {
    if (event < offsets.off) noteOn(event);
    else if (event < offsets.shift) return { begun: [], ended: noteOff(event - offsets.off) };
    else if (event < offsets.velocity) return { begun: moved(event - offsets.shift + 1), ended: [] };
    else velocity = 1 + (event - offsets.velocity) * settings.velocityBin;
    return { begun: [], ended: [] };
  }

  // What a note of six numbers is.
  function whole([shiftMajor, shiftMinor, pitch, loudness, durationMajor, durationMinor]) {
    time += shiftMajor * fields[1] + shiftMinor;
    const duration = Math.min(durationMajor * fields[5] + durationMinor + 1, longest);
    const note = { id: id++, start: time, pitch, velocity: Math.min(1 + loudness * settings.velocityBin, 127) };
    return { begun: [note], ended: [{ id: note.id, end: time + duration }] };
  }

  function next(asked) {
    const logits = advance(last, asked);
    last = fields.map((size, field) => {
      const own = logits.subarray(starts[field], starts[field] + size), uniform = noise.uniform();
      if (!(asked.temperature > 0)) return own.indexOf(own.reduce((a, b) => Math.max(a, b)));
      return network.categorical(uniform, own, asked.temperature);
    });
    return { event: last, ...(fields.length > 1 ? whole(last) : change(last[0])) };
  }

  return { restart, advance, next, get time() { return time; } };
}

/* The worker: {settings, tensors} first; then {restart: {run, seed}}, {asked}, what is wanted from now on, and {until},
   the time in steps up to which events are wanted. It tells {run, time, begun, ended, events, work}: what was made, the
   time that is reached, how many events, and the milliseconds that they took. */
function serve(send) {
  let stream = null, asked = { temperature: 1 }, run = 0, until = -1, awake = false;
  const channel = new MessageChannel();

  function turn() {
    const begin = performance.now(), begun = [], ended = [];
    let events = 0;
    while (stream.time < until && performance.now() - begin < TURN) {
      const made = stream.next(asked);
      begun.push(...made.begun);
      ended.push(...made.ended);
      events++;
    }
    if (events) send({ run, time: stream.time, begun, ended, events, work: performance.now() - begin });
    awake = stream.time < until;
    if (awake) channel.port2.postMessage(null);
  }

  channel.port1.onmessage = turn;
  return (message) => {
    if (message.tensors) {
      stream = streamOf(message.settings, message.tensors);
      stream.restart(0);
    }
    if (message.restart) {
      run = message.restart.run;
      stream.restart(message.restart.seed);
      until = -1;
    }
    if (message.asked) asked = message.asked;
    if (message.until !== undefined) until = message.until;
    if (!awake && stream.time < until) {
      awake = true;
      channel.port2.postMessage(null);
    }
  };
}
