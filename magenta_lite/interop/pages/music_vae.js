"use strict";
/* The page of MusicVAE: the square, the player, and what is asked of the decoder in the background. */
(() => {
  const settings = page.settings, find = page.find, tensors = page.tensors();
  const DRUMS_MOST = 12, STEPS_A_QUARTER = 4, CORNERS = ["A", "B", "C", "D"];
  const PROGRESSION = ["C", "G", "Am", "F"];
  const melodic = settings.kind === "melody" || settings.kind === "trio";
  const square = find("square"), roll = find("roll"), status = find("status");

  // More cells where a slice is soon made.
  const products = tensors.filter(({ name }) => /w_hh|w_xh/.test(name)).reduce((sum, one) => sum + one.numbers.length, 0);
  const cost = products * settings.steps, side = cost < 1e8 ? 7 : cost < 1e9 ? 5 : 3;

  let seed = page.seed(), generation = 0, asked = 0, shown = 0, told = 0;
  let corners = [], cells = [], at = { x: 0.5, y: 0.5 }, notes = [], context = null, sound = null;
  let clock = null, moved = false, begun = null;
  const about = { low: 48, high: 72, drums: [], melodic };

  // Spherical interpolation (White 2016), as in nn/latent.py: straight where the angle says nothing.
  function slerp(a, b, t) {
    const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
    const lengths = Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b));
    const omega = lengths > 0 ? Math.acos(Math.min(Math.max(dot(a, b) / lengths, -1), 1)) : 0;
    const sine = Math.sin(omega), straight = t === 0 || t === 1 || sine < 1e-6;
    const [p, q] = straight ? [1 - t, t] : [Math.sin((1 - t) * omega) / sine, Math.sin(t * omega) / sine];
    return a.map((value, i) => p * value + q * b[i]);
  }

  // A and B above, C and D below: down both sides first, then across, as sample.py's grids.
  const mixture = ({ x, y }) => slerp(slerp(corners[0], corners[2], y), slerp(corners[1], corners[3], y), x);

  function how() {
    const bars = settings.steps / settings.stepsPerBar, chosen = [...find("chords").querySelectorAll("select")];
    const chords = settings.chords.length
      ? Array.from({ length: settings.steps }, (_, t) => chosen[Math.floor(t * bars / settings.steps)].selectedIndex) : null;
    return { temperature: Number(find("temperature").value), seed, chords };
  }

  const send = page.background(["network.js", "lstm_stack.js", "music_vae_decoder.js"], receive);

  function ask() {
    send({ slice: { number: ++asked, z: mixture(at), ...how() } });
  }

  // All anew: the slice at the point first, then the corners, then the cells from the middle on.
  function askAll() {
    generation++;
    cells = Array.from({ length: side * side }, (_, number) => ({
      x: (number % side) / (side - 1), y: Math.floor(number / side) / (side - 1), notes: null,
    }));
    ask();
    const rank = ({ x, y }) => (x % 1 || y % 1 ? Math.hypot(x - 0.5, y - 0.5) : -1);
    const order = [...cells.keys()].sort((a, b) => rank(cells[a]) - rank(cells[b]));
    const job = (number) => ({ number: [generation, number], z: mixture(cells[number]), ...how() });
    send({ cells: order.map(job) });
  }

  function receive({ kind, job, notes: made, work }) {
    if (kind === "slice") {
      shown = Math.max(shown, job);
      notes = made;
      told = work;
    } else if (job[0] === generation) {
      cells[job[1]].notes = made;
    }
    const all = [notes, ...cells.map((cell) => cell.notes || [])].flat();
    Object.assign(about, rangeOf(all, 20));
    const struck = new Set(all.filter((note) => note.kind === "drum").map((note) => note.pitch));
    const few = settings.drums.length <= DRUMS_MOST;
    about.drums = settings.drums.filter((pitch) => few || struck.has(pitch));
    draw();
  }

  function newCorners() {
    const random = network.random(seed++);
    corners = CORNERS.map(() => Array.from(random.normals(settings.latent)));
    askAll();
  }

  // The clock of the loop: which step is heard at a time of the audio clock.
  const tempo = () => Number(find("tempo").value);
  const stepAt = (time) => clock.step + (time - clock.time) * clock.speed;
  const timeOf = (step) => clock.time + (step - clock.step) / clock.speed;

  function fill(until) {
    const from = stepAt(clock.filled), to = stepAt(until), length = settings.steps;
    if (to <= from) return;
    for (let loop = Math.floor(from / length); loop * length < to; loop++) {
      for (const note of notes) {
        const start = note.start + loop * length;
        if (start < from || start >= to) continue;
        const duration = (Math.min(note.end, length) - note.start) / clock.speed;
        sound.play({ ...note, time: timeOf(start), duration: Math.max(duration, 0.05) });
      }
    }
    clock.filled = until;
  }

  async function play() {
    if (clock) return stop();
    if (!sound) {
      context = new AudioContext();
      sound = new Sound(context);
      sound.volume(Number(find("volume").value));
    }
    await context.resume();
    const time = context.currentTime + 0.06;
    clock = { time, step: 0, filled: time, speed: tempo() * STEPS_A_QUARTER / 60 };
    sound.run(fill);
    find("play").textContent = "Stop";
    requestAnimationFrame(draw);
  }

  function stop() {
    clock = null;
    sound.silence();
    find("play").textContent = "Play";
    draw();
  }

  function place(event) {
    const box = square.getBoundingClientRect(), cell = 1 / side;
    const share = (value) => Math.min(Math.max((value - cell / 2) / (1 - cell), 0), 1);
    return { x: share((event.clientX - box.left) / box.width), y: share((event.clientY - box.top) / box.height) };
  }

  function go(point) {
    at = point;
    ask();
    draw();
  }

  const snapped = ({ x, y }) => ({ x: Math.round(x * (side - 1)) / (side - 1), y: Math.round(y * (side - 1)) / (side - 1) });

  square.addEventListener("pointerdown", (event) => {
    square.setPointerCapture(event.pointerId);
    begun = { x: event.clientX, y: event.clientY };
    moved = false;
    go(snapped(place(event)));
  });
  square.addEventListener("pointermove", (event) => {
    if (!begun) return;
    moved ||= Math.hypot(event.clientX - begun.x, event.clientY - begun.y) > 4;
    if (moved) go(place(event));
  });
  for (const name of ["pointerup", "pointercancel"]) square.addEventListener(name, () => { begun = null; });
  square.addEventListener("keydown", (event) => {
    const step = 0.25 / (side - 1), clamp = (value) => Math.min(Math.max(value, 0), 1);
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move) go({ x: clamp(at.x + step * move[0]), y: clamp(at.y + step * move[1]) });
    else if (event.key === "Home") go({ x: 0.5, y: 0.5 });
    else return;
    event.preventDefault();
  });

  function drawSquare() {
    const { context: pen, width } = canvasOf(square), known = colours(), size = width / side;
    pen.clearRect(0, 0, width, width);
    cells.forEach((cell, number) => {
      const x = (number % side) * size, y = Math.floor(number / side) * size, inner = size - 4;
      pen.fillStyle = known.page;
      pen.globalAlpha = 1;
      pen.beginPath();
      pen.roundRect(x + 2, y + 2, inner, inner, 5);
      pen.fill();
      const box = { x: x + 6, y: y + 6, width: inner - 8, height: inner - 8 };
      if (cell.notes) paintNotes(pen, box, cell.notes, 0, settings.steps, about);
      else paintWaiting(pen, x + size / 2, y + size / 2);
    });
    CORNERS.forEach((name, number) => {
      pen.fillStyle = known.soft;
      pen.font = "600 12px system-ui, sans-serif";
      pen.textAlign = number % 2 ? "right" : "left";
      pen.textBaseline = number < 2 ? "top" : "bottom";
      pen.fillText(name, number % 2 ? width - 8 : 8, number < 2 ? 7 : width - 6);
    });
    const place = (share) => size / 2 + share * (width - size);
    pen.beginPath();
    pen.arc(place(at.x), place(at.y), 10, 0, 2 * Math.PI);
    pen.fillStyle = known.given;
    pen.fill();
    pen.lineWidth = 3;
    pen.strokeStyle = known.card;
    pen.stroke();
  }

  function drawRoll() {
    const { context: pen, width, height } = canvasOf(roll), left = about.drums.length ? NAMED : 0;
    const box = { x: left, y: 6, width: width - left, height: height - 12 };
    pen.clearRect(0, 0, width, height);
    paintGrid(pen, box, 0, settings.steps, STEPS_A_QUARTER, Math.max(settings.stepsPerBar / STEPS_A_QUARTER, 1), about);
    paintNotes(pen, box, notes, 0, settings.steps, about);
    paintDrumNames(pen, box, about);
    if (!clock) return;
    const step = stepAt(context.currentTime - (context.outputLatency || 0));
    pen.fillStyle = colours().given;
    const share = ((step % settings.steps) + settings.steps) % settings.steps / settings.steps;
    pen.fillRect(left + share * box.width - 1, 0, 2, height);
  }

  let drawing = false;
  function draw() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      drawSquare();
      drawRoll();
      const shares = { x: Math.round(100 * at.x), y: Math.round(100 * at.y) };
      find("where").textContent = `The point is ${shares.x} % of the way from left to right, ${shares.y} % from top to bottom.`;
      const waiting = cells.filter((cell) => !cell.notes).length;
      const voices = page.counted(notes.length, "note");
      status.textContent = shown < asked && told > 250 ? `This slice takes about ${(told / 1000).toFixed(1)} s to make.`
        : shown === 0 ? "Making the first slice." : `${voices}, made in ${Math.max(1, Math.round(told))} ms`
        + (waiting ? `; ${page.counted(waiting, "cell")} still to come.` : ".");
      if (clock) draw();
    });
  }

  function slider(name, words, change) {
    const input = find(name), say = () => { find(`${name}-told`).textContent = words(Number(input.value)); };
    input.addEventListener("input", () => { say(); change(Number(input.value)); });
    say();
  }

  slider("tempo", (value) => `${value} a minute`, (value) => {
    if (!clock) return;
    // What is given to the audio clock already stays.
    const time = clock.filled;
    clock = { time, step: stepAt(time), filled: time, speed: value * STEPS_A_QUARTER / 60 };
  });
  slider("temperature", (value) => value.toFixed(2), askAll);
  slider("volume", (value) => `${Math.round(100 * value)} %`, (value) => sound && sound.volume(value));
  find("play").addEventListener("click", play);
  find("corners").addEventListener("click", newCorners);
  find("save").addEventListener("click", () => {
    const quarters = (value) => value / STEPS_A_QUARTER;
    const all = notes.map((note) => ({ ...note, start: quarters(note.start), end: quarters(note.end) }));
    saveFile(midiFile(all, tempo()), `slice-${CORNERS.join("")}-${Math.round(100 * at.x)}-${Math.round(100 * at.y)}.mid`);
  });
  if (settings.chords.length) {
    const box = find("chords");
    box.hidden = false;
    for (let bar = 0; bar < settings.steps / settings.stepsPerBar; bar++) {
      const select = document.createElement("select");
      select.setAttribute("aria-label", `Chord of bar ${bar + 1}`);
      for (const name of settings.chords) select.add(new Option(name));
      select.value = PROGRESSION[bar % PROGRESSION.length];
      select.addEventListener("change", askAll);
      box.append(select);
    }
  }
  new ResizeObserver(draw).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  send({ settings, tensors });
  newCorners();

  // For those who look from outside, such as tests.
  window.magenta = {
    state: () => ({ asked, shown, at, side, notes, cells, corners, playing: Boolean(clock), work: told }),
    sound: () => sound,
  };
})();
