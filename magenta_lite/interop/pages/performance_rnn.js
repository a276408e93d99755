"use strict";
/* The page of Performance RNN: events are made in the background a second ahead of the audio clock. */
(() => {
  const settings = page.settings, find = page.find, tensors = page.tensors();
  const LEAD = 1.0; // seconds that are made ahead
  const PAUSE = 0.4; // seconds that the music waits for more, where it has to
  const SHOWN = 9, BEYOND = 1.1; // seconds on the roll, and right of the line
  const WINDOW = 3; // seconds over which notes are counted
  const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
  const BLACK = [1, 3, 6, 8, 10];
  const SCALES = {
    "All alike": [...NAMES.keys()], "C major": [0, 2, 4, 5, 7, 9, 11], "C minor": [0, 2, 3, 5, 7, 8, 10],
    "D major": [1, 2, 4, 6, 7, 9, 11], "Black keys": BLACK, "Whole tones": [0, 2, 4, 6, 8, 10],
  };
  const steps = settings.stepsPerSecond, roll = find("roll"), status = find("status");
  const about = { low: 36, high: 90, drums: [], melodic: true };

  let context = null, sound = null, origin = 0, playing = false, starting = false;
  let seed = page.seed(), run = 0, made = 0, position = 0, lateness = 0, lastLate = -Infinity, events = 0, work = 0;
  let notes = [], byId = new Map(), nextNote = 0;

  const has = (name) => settings.conditions.includes(name);
  const value = (name) => Number(find(name).value);

  function density() {
    const perSecond = 2 ** value("density");
    return { perSecond, bin: settings.densityEdges.filter((edge) => edge <= perSecond).length };
  }

  function histogram() {
    const weights = [...find("classes").querySelectorAll("input")].map((input) => Number(input.value));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => (total > 0 ? weight / total : 1 / weights.length));
  }

  function asked() {
    const wishes = { temperature: value("temperature") };
    if (has("density")) wishes.density = density().bin;
    if (has("histogram")) wishes.histogram = histogram();
    if (has("told")) wishes.told = find("heard").checked ? 1 : 0;
    return wishes;
  }

  const send = page.background(["network.js", "lstm_stack.js", "performance_rnn_stream.js"], receive);
  const tell = () => send({ asked: asked() });

  function receive(message) {
    if (message.run !== run) return;
    made = message.time / steps;
    events += message.events;
    work += message.work;
    for (const { id, start, pitch, velocity } of message.begun) {
      const note = { start: start / steps, end: null, pitch, velocity, kind: "piano", voice: null };
      notes.push(note);
      byId.set(id, note);
    }
    for (const { id, end } of message.ended) {
      const note = byId.get(id);
      note.end = end / steps;
      byId.delete(id);
      if (note.voice) note.voice.end(origin + note.end);
    }
    if (starting && made >= position + LEAD / 2) begin();
  }

  // What is heard at the audio clock's time `until` has to be made by now; else the music waits.
  function fill(until) {
    const now = until - origin;
    send({ until: Math.ceil((now + LEAD) * steps) });
    if (now > made) {
      const pause = now - made + PAUSE;
      lateness += pause;
      lastLate = context.currentTime;
      origin += pause;
    }
    const reached = Math.min(until - origin, made);
    for (; nextNote < notes.length && notes[nextNote].start < reached; nextNote++) {
      const note = notes[nextNote], duration = note.end === null ? undefined : note.end - note.start;
      note.voice = sound.play({ ...note, time: origin + note.start, duration });
    }
  }

  const heard = () => (playing ? Math.max(context.currentTime - (context.outputLatency || 0) - origin, 0) : position);

  async function start() {
    if (playing || starting) return stop();
    if (!sound) {
      context = new AudioContext();
      sound = new Sound(context);
      sound.volume(value("volume"));
    }
    starting = true;
    find("play").textContent = "Stop";
    draw();
    tell();
    await context.resume();
    send({ until: Math.ceil((position + LEAD) * steps) });
    if (made >= position + LEAD / 2) begin();
  }

  function begin() {
    if (!starting) return;
    [starting, playing] = [false, true];
    origin = context.currentTime + 0.15 - position;
    sound.run(fill);
    draw();
  }

  function stop() {
    position = heard();
    while (nextNote > 0 && notes[nextNote - 1].start > position) nextNote--; // were given to the clock, not heard
    [starting, playing] = [false, false];
    sound.silence();
    for (const note of notes.slice(-200)) note.voice = null;
    find("play").textContent = "Start";
    draw();
  }

  function again() {
    if (playing || starting) stop();
    [made, position, lateness, lastLate, notes, nextNote] = [0, 0, 0, -Infinity, [], 0];
    byId = new Map();
    run++;
    seed = crypto.getRandomValues(new Int32Array(1))[0];
    send({ restart: { run, seed } });
    start();
  }

  function drawRoll() {
    const { context: pen, width, height } = canvasOf(roll), box = { x: 0, y: 6, width, height: height - 12 };
    const now = heard(), from = now - (SHOWN - BEYOND), to = now + BEYOND, known = colours();
    pen.clearRect(0, 0, width, height);
    paintGrid(pen, box, from, to, 1, 5, about);
    const seen = [];
    for (let i = notes.length - 1; i >= 0 && notes[i].start > from - settings.longest / steps; i--) {
      const note = notes[i], open = Math.min(made, note.start + settings.longest / steps);
      const end = note.end === null ? open : note.end;
      seen.push({ ...note, end, kind: note.start <= now && now < end ? "sounding" : "piano" });
      about.low = Math.min(about.low, note.pitch - 1);
      about.high = Math.max(about.high, note.pitch + 1);
    }
    paintNotes(pen, box, seen, from, to, about);
    pen.fillStyle = known.given;
    pen.fillRect((now - from) / (to - from) * width - 1, 0, 2, height);
    return seen.filter((note) => note.start > now - WINDOW && note.start <= now).length / Math.min(WINDOW, Math.max(now, 0.5));
  }

  let drawing = false;
  function draw() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      const perSecond = drawRoll(), speed = work > 0 ? Math.round(1000 * events / work) : 0;
      const late = playing && context.currentTime - lastLate < 4;
      status.classList.toggle("late", late);
      status.textContent = late ? `The network makes ${speed} events a second: too few, the music had to wait ${lateness.toFixed(1)} s.`
        : starting ? "Making the first second." : playing
          ? `${Math.floor(heard() / 60)}:${String(Math.floor(heard() % 60)).padStart(2, "0")}, ${perSecond.toFixed(1)} notes a second;`
            + ` the network could make ${speed} events a second.`
          : notes.length ? "Stopped." : "";
      if (playing || starting) draw();
    });
  }

  function slider(name, words, change) {
    const input = find(name), say = () => { find(`${name}-told`).textContent = words(Number(input.value)); };
    input.addEventListener("input", () => { say(); change(Number(input.value)); });
    say();
  }

  function densityWords() {
    const { perSecond, bin } = density(), edges = settings.densityEdges;
    const words = bin === 0 ? `fewer than ${edges[0]}` : bin === edges.length ? `${edges[bin - 1]} or more`
      : `${edges[bin - 1]} to ${edges[bin]}`;
    find("density-hint").textContent = `The network is told: ${words} a second, in the three seconds to come.`;
    return perSecond < 10 ? perSecond.toFixed(1) : perSecond.toFixed(0);
  }

  function pitchClasses() {
    const box = find("classes");
    NAMES.forEach((name, number) => {
      const label = document.createElement("label"), input = document.createElement("input");
      label.classList.toggle("black", BLACK.includes(number));
      Object.assign(input, { type: "range", min: 0, max: 1, step: 0.05, value: 1 });
      input.setAttribute("aria-label", `Weight of ${name}`);
      input.setAttribute("orient", "vertical");
      input.addEventListener("input", tell);
      label.append(input, name);
      box.append(label);
    });
    for (const [name, classes] of Object.entries(SCALES)) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: name });
      button.addEventListener("click", () => {
        box.querySelectorAll("input").forEach((input, number) => { input.value = classes.includes(number) ? 1 : 0; });
        tell();
      });
      find("scales").append(button);
    }
  }

  slider("temperature", (number) => number.toFixed(2), tell);
  slider("volume", (number) => `${Math.round(100 * number)} %`, (number) => sound && sound.volume(number));
  find("asked").hidden = !settings.conditions.length;
  find("uncontrolled").hidden = settings.conditions.length > 0;
  find("density-part").hidden = !has("density");
  find("histogram-part").hidden = !has("histogram");
  find("heard-part").hidden = !has("told");
  find("heard").addEventListener("change", tell);
  find("density").value = Math.log2(settings.density);
  slider("density", densityWords, tell);
  pitchClasses();
  find("play").addEventListener("click", start);
  find("again").addEventListener("click", again);
  find("save").addEventListener("click", () => {
    const until = heard(), quarters = (seconds) => 2 * seconds, longest = settings.longest / steps;
    const played = notes.filter((note) => note.start < until).map((note) => ({ ...note, start: quarters(note.start),
      end: quarters(Math.min(note.end === null ? note.start + longest : note.end, until)) }));
    saveFile(midiFile(played, 120), "performance.mid");
  });
  new ResizeObserver(draw).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  send({ settings, tensors });
  send({ restart: { run, seed } });
  tell();
  draw();

  // For those who look from outside, such as tests.
  window.magenta = {
    state: () => ({ playing, made, lateness, events, work, position: heard(), asked: asked(), seed }),
    notes: () => notes.map(({ start, end, pitch, velocity }) => ({ start, end, pitch, velocity })),
    sound: () => sound,
  };
})();
