"use strict";
/* A small synthesizer: a piano, a bass and a drum kit, made of sums and noise as music/synthesizer.py makes them.

   Sound(context) plays on an AudioContext, which browsers let begin only after a click, or on an OfflineAudioContext.
   Whatever is played has its end set when it begins, so that no note stays. All goes through a limit: no sample is
   beyond 0.98. */

const VOICES = {
  piano: { lasting: 1.6, stiffness: 1, hard: 2600, slope: 0.55, release: 0.07, hammer: 1, beating: 1, loud: 1 },
  bass: { lasting: 0.9, stiffness: 0.3, hard: 1100, slope: 0.8, release: 0.06, hammer: 0.4, beating: 0, loud: 1.5 },
};
const DRUM_PLACES = { 42: 0.25, 44: 0.25, 46: 0.25, 49: -0.4, 51: 0.4, 50: -0.3, 48: -0.2, 45: 0.15, 43: 0.3 };
const TOMS = { 41: 78, 43: 95, 45: 115, 47: 135, 48: 160, 50: 190 };
const METAL = { 42: 0.035, 44: 0.03, 46: 0.22, 49: 0.7, 52: 0.6, 55: 0.35, 57: 0.7, 51: 0.45, 53: 0.5, 59: 0.45 };
const TONE_RATE = 22050; // partials end at 8 kHz
const LONGEST = 5; // seconds
const MOST_VOICES = 80;
const AHEAD = 0.16; // seconds that are given to the audio clock beforehand
const EVERY = 30; // milliseconds between two looks at the clock

const frequencyOf = (pitch) => 440 * 2 ** ((pitch - 69) / 12);

/* One hard stroke of a string: damped partials, stretched by stiffness, in two stages. Float32Array. */
function stroke(pitch, voice, rate) {
  const base = frequencyOf(pitch), random = network.random(pitch * 7919 + 1).uniform;
  const stiff = voice.stiffness * (Math.exp(0.0926 * pitch - 13.64) + Math.exp(-0.0847 * pitch - 5.82));
  const slow = 2 ** ((pitch - 60) / 17);
  const count = Math.floor(Math.min(6 / (0.45 * (slow + 1e-3 * base) / voice.lasting), LONGEST + 0.5) * rate);
  const sound = new Float32Array(count), partials = [];
  let power = 0;
  for (let n = 1; n <= 40; n++) {
    const f = n * base * Math.sqrt((1 + stiff * n * n) / (1 + stiff));
    if (f > 8000) break;
    let weight = (0.25 + Math.abs(Math.sin(Math.PI * n / 8.3))) / n ** voice.slope;
    weight *= f * f / (f * f + 4900) * Math.exp(-(f - base) / (voice.hard + base));
    power += weight * weight;
    partials.push([f, weight, 2 * Math.PI * random(), voice.beating * (0.12 + 2.2e-4 * f) * (0.5 + random() / 2)]);
  }
  for (const [f, weight, phase, apart] of partials) {
    const fade = (slow + 1e-3 * f) / voice.lasting;
    for (const [share, hertz, decay] of [[0.72, f, 1.9 * fade], [0.28, f + apart, 0.45 * fade]]) {
      const size = share * weight / Math.sqrt(power), damped = Math.exp(-decay / rate);
      const turn = 2 * Math.PI * hertz / rate, a = damped * Math.cos(turn), b = damped * Math.sin(turn);
      const last = Math.min(count, Math.ceil(9 / decay * rate));
      let x = size * Math.cos(phase), y = size * Math.sin(phase);
      for (let i = 0; i < last; i++) {
        sound[i] += x;
        const next = a * x - b * y;
        y = b * x + a * y;
        x = next;
      }
    }
  }
  const attack = Math.max(2, Math.floor(rate * 0.002 * (1 + 1.5 * 2 ** ((48 - pitch) / 12))));
  for (let i = 0; i < attack && i < count; i++) sound[i] *= 0.5 - 0.5 * Math.cos(Math.PI * i / attack);
  const knock = banded(Math.floor(0.06 * rate), 500 + 6 * pitch, rate, random);
  for (let i = 0; i < knock.length && i < count; i++) {
    const seconds = i / rate;
    sound[i] += 0.05 * voice.hammer * knock[i] * Math.exp(-seconds / 0.009) * Math.min(seconds / 0.0015, 1);
  }
  const tail = Math.min(count, rate >> 2);
  for (let i = 0; i < tail; i++) sound[count - 1 - i] *= i / tail;
  return sound;
}

/* Noise around a frequency, of standard deviation 1: two band passes one after the other. */
function banded(count, middle, rate, random) {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = 2 * random() - 1;
  const turn = 2 * Math.PI * Math.min(middle, 0.42 * rate) / rate, alpha = Math.sin(turn) / 1.4;
  for (let pass = 0; pass < 2; pass++) {
    let x1 = 0, x2 = 0, y1 = 0, y2 = 0;
    for (let i = 0; i < count; i++) {
      const x = out[i], y = (alpha * (x - x2) + 2 * Math.cos(turn) * y1 - (1 - alpha) * y2) / (1 + alpha);
      x2 = x1; x1 = x; y2 = y1; y1 = y;
      out[i] = y;
    }
  }
  let power = 0;
  for (let i = 0; i < count; i++) power += out[i] * out[i];
  const scale = 1 / Math.sqrt(power / count + 1e-12);
  for (let i = 0; i < count; i++) out[i] *= scale;
  return out;
}

/* A drum of General MIDI, struck hard. */
function drumSound(pitch, rate) {
  const random = network.random(1000 + pitch).uniform, seconds = Math.max(0.6, 6 * (METAL[pitch] || 0.1));
  const count = Math.floor(seconds * rate), sound = new Float32Array(count);
  const fill = (level) => { for (let i = 0; i < count; i++) sound[i] += level(i / rate, i); };
  const sweep = (low, rise, time, t) => Math.sin(2 * Math.PI * (low * t + rise * time * (1 - Math.exp(-t / time))));
  const noise = (middle) => banded(count, middle, rate, random);
  if (pitch === 35 || pitch === 36) {
    const click = noise(2500);
    fill((t, i) => sweep(48, 110, 0.03, t) * Math.exp(-t / 0.13) + 0.12 * click[i] * Math.exp(-t / 0.004));
  } else if (pitch === 38 || pitch === 40) {
    const wires = noise(3500);
    fill((t, i) => 0.5 * Math.sin(370 * Math.PI * t) * Math.exp(-t / 0.06) + 0.4 * wires[i] * Math.exp(-t / 0.075));
  } else if (TOMS[pitch]) {
    const skin = noise(1500), base = TOMS[pitch];
    fill((t, i) => sweep(base, base * 0.4, 0.05, t) * Math.exp(-t / 0.16) + 0.1 * skin[i] * Math.exp(-t / 0.02));
  } else if (METAL[pitch]) {
    const hiss = noise(8500), bases = [1, 1.342, 1.523, 1.893, 2.071, 2.47].map((one) => 6300 * Math.PI * one);
    const ring = (t) => bases.reduce((sum, one) => sum + Math.sin(one * t), 0);
    fill((t, i) => (0.22 * hiss[i] + 0.024 * ring(t)) * Math.exp(-t / METAL[pitch]));
  } else if (pitch === 39) {
    const clap = noise(1400);
    fill((t, i) => 0.4 * clap[i] * Math.exp(-t / 0.08));
  } else {
    fill((t) => 0.5 * Math.sin(2 * Math.PI * (600 + 12 * pitch) * t) * Math.exp(-t / 0.03));
  }
  const tail = Math.floor(rate / 50);
  for (let i = 0; i < tail; i++) sound[count - 1 - i] *= i / tail;
  return sound;
}

class Sound {
  constructor(context) {
    this.context = context;
    this.buffers = new Map();
    this.voices = new Set();
    this.hat = null;
    this.played = 0;
    this.timer = 0;
    const master = context.createGain(), compressor = context.createDynamicsCompressor();
    const before = context.createGain(), limit = context.createWaveShaper();
    this.master = master;
    this.analyser = context.createAnalyser();
    this.analyser.fftSize = 2048;
    compressor.threshold.value = -16;
    compressor.ratio.value = 6;
    compressor.attack.value = 0.004;
    // The shaper takes -1 to 1 and holds what is beyond: a quarter goes in, four times of it are bent to 0.98.
    before.gain.value = 0.25;
    limit.curve = Float32Array.from({ length: 4097 }, (_, i) => {
      const x = 4 * (i / 2048 - 1), over = Math.abs(x) - 0.7;
      return over <= 0 ? x : Math.sign(x) * (0.7 + 0.28 * Math.tanh(over / 0.28));
    });
    this.dry = context.createGain();
    const room = context.createConvolver();
    room.normalize = false;
    room.buffer = this._room();
    this.dry.connect(compressor);
    this.dry.connect(room).connect(compressor);
    compressor.connect(master).connect(before).connect(limit).connect(this.analyser).connect(context.destination);
    this.places = Array.from({ length: 9 }, (_, i) => {
      const place = context.createStereoPanner();
      place.pan.value = (i - 4) * 0.15;
      place.connect(this.dry);
      return place;
    });
    this.volume(0.8);
  }

  /* 0 to 1. */
  volume(share) {
    this.loudness = share;
    this.master.gain.setTargetAtTime(1.2 * share * share, this.context.currentTime, 0.02);
  }

  /* Plays a note: {kind: piano, bass or drum; pitch; velocity 1 to 127; time, in seconds of the context; duration}. Its
     end may be told later, by end(time) of what is returned; without a duration it ends after 5 s. */
  play({ kind, pitch, velocity, time, duration = LONGEST }) {
    const context = this.context, start = Math.max(time, context.currentTime);
    if (this.voices.size >= MOST_VOICES) this.voices.values().next().value.end(start);
    const voice = kind === "drum" ? this._drum(pitch, velocity, start) : this._string(kind, pitch, velocity, start);
    this.voices.add(voice);
    voice.source.onended = () => {
      this.voices.delete(voice);
      for (const node of voice.nodes) node.disconnect();
    };
    voice.source.start(start);
    if (kind !== "drum") voice.end(start + Math.min(Math.max(duration, 0.02), LONGEST));
    this.played++;
    return voice;
  }

  /* Calls fill(until) again and again: whatever begins before `until` on the context's clock is to be played now. */
  run(fill) {
    this.halt();
    const look = () => fill(this.context.currentTime + AHEAD);
    this.timer = setInterval(look, EVERY);
    look();
  }

  halt() {
    clearInterval(this.timer);
    this.timer = 0;
  }

  /* Ends all that sounds and all that was to. */
  silence() {
    this.halt();
    const now = this.context.currentTime;
    for (const voice of this.voices) voice.cut(now);
  }

  _string(kind, pitch, velocity, start) {
    const shape = VOICES[kind] || VOICES.piano, strength = velocity / 127;
    const near = Math.round(pitch / 3) * 3, source = this.context.createBufferSource();
    source.buffer = this._buffer(`${kind}${near}`, TONE_RATE, () => stroke(near, shape, TONE_RATE));
    source.playbackRate.value = 2 ** ((pitch - near) / 12);
    const filter = this.context.createBiquadFilter(), base = frequencyOf(pitch);
    filter.type = "lowpass";
    filter.Q.value = 0.3;
    filter.frequency.value = Math.min(base * 1.5 + 350 + 7000 * strength ** 1.8, 10000);
    const release = shape.release * (pitch < 45 ? 1.5 : 1);
    return this._voice(source, [filter], 0.42 * shape.loud * strength ** 1.5, (pitch - 64) / 90, release, start);
  }

  _drum(pitch, velocity, start) {
    const source = this.context.createBufferSource(), rate = this.context.sampleRate;
    source.buffer = this._buffer(`drum${pitch}`, rate, () => drumSound(pitch, rate));
    const level = 0.42 * (velocity / 127) ** 1.5;
    const voice = this._voice(source, [], level, DRUM_PLACES[pitch] || 0, 0.03, start);
    if (this.hat && (pitch === 42 || pitch === 44)) this.hat.end(start); // the closed hat ends the open one
    this.hat = pitch === 46 ? voice : pitch === 42 || pitch === 44 ? null : this.hat;
    return voice;
  }

  _voice(source, between, level, place, release, start) {
    const gain = this.context.createGain(), nodes = [source, ...between, gain];
    gain.gain.setValueAtTime(level, start);
    nodes.reduce((from, to) => from.connect(to));
    gain.connect(this.places[Math.round(Math.min(Math.max(place, -0.6), 0.6) / 0.15) + 4]);
    const fall = (time, constant) => {
      const at = Math.max(time, start, this.context.currentTime);
      gain.gain.cancelScheduledValues(at);
      gain.gain.setTargetAtTime(0, at, constant);
      source.stop(at + 7 * constant);
    };
    return { source, nodes, end: (time) => fall(time, release), cut: (time) => {
      if (start > time) source.stop(time);
      else fall(time, 0.012);
    } };
  }

  _buffer(name, rate, make) {
    if (!this.buffers.has(name)) {
      const samples = make(), buffer = this.context.createBuffer(1, samples.length, rate);
      buffer.copyToChannel(samples, 0);
      this.buffers.set(name, buffer);
    }
    return this.buffers.get(name);
  }

  /* What a small room answers: dark noise that dies away. */
  _room() {
    const rate = this.context.sampleRate, count = Math.floor(0.7 * rate);
    const buffer = this.context.createBuffer(2, count, rate);
    for (let channel = 0; channel < 2; channel++) {
      const random = network.random(7 + channel).uniform, answer = buffer.getChannelData(channel);
      let low = 0, power = 0;
      for (let i = 0; i < count; i++) {
        const seconds = i / rate;
        low += 0.25 * (2 * random() - 1 - low);
        answer[i] = low * Math.exp(-seconds / 0.14) * Math.min(Math.max(seconds - 0.008, 0) / 0.01, 1);
        power += answer[i] * answer[i];
      }
      for (let i = 0; i < count; i++) answer[i] *= Math.sqrt(0.08 / power);
    }
    return buffer;
  }
}
