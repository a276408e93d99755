"use strict";
// The page: a beginning is drawn by hand, and nine endings by the model, in a worker.
(() => {
  const { settings } = page;
  const COUNT = 9;
  const BOX = 255; // the longer side of a typical drawing, in the unit of everything on the page
  const FRAME = 320; // the side of the paper
  const FASTEST = 60; // points a second, as endings draw themselves
  const unit = (settings.scale * BOX) / settings.size; // the model's unit in that of the page
  const limit = settings.limit / settings.scale;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const paper = page.find("paper");
  const namespace = paper.namespaceURI;
  const raw = []; // lines as they were drawn
  let kept = []; // and as the model reads them
  let beginning = [];
  let drawing = null; // the pointer that draws, and its line
  let seed = page.seed();
  let token = 0, busy = false, wanted = false, asked = 0;
  let shown = emptied();

  function emptied() {
    return Array.from({ length: COUNT }, () => ({ points: [], visible: 0, done: false, frame: null }));
  }

  // --- The nine cells.
  const cells = Array.from({ length: COUNT }, (_, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Ending ${index + 1}: save as SVG`);
    button.title = "Save as SVG";
    const svg = document.createElementNS(namespace, "svg");
    const given = document.createElementNS(namespace, "path");
    given.setAttribute("class", "given");
    const path = document.createElementNS(namespace, "path");
    svg.append(given, path);
    button.append(svg);
    button.addEventListener("click", () => save([index], `ending-${index + 1}.svg`));
    page.find("endings").append(button);
    return { svg, given, path };
  });

  function endOfBeginning() {
    return kept.length ? kept.at(-1).at(-1) : [FRAME / 2, FRAME / 2];
  }

  function penDown() {
    return beginning.length ? beginning.at(-1)[2] === 0 : true;
  }

  // An ending's lines, as far as they are visible; the last segment may be shown in part.
  function ending({ points, visible }) {
    const whole = Math.floor(visible);
    const some = points.slice(0, whole);
    const part = visible - whole;
    if (part > 0 && whole < points.length) {
      const [dx, dy, pen] = points[whole];
      const up = whole ? points[whole - 1][2] !== 0 : !penDown();
      if (!up) some.push([dx * part, dy * part, pen]);
    }
    return lines.followed(some, unit, endOfBeginning(), penDown());
  }

  // The square of the plane that shows the beginning and all of an ending: left, top and side.
  function frame(all) {
    const { left, right, top, bottom } = lines.bounds([...kept, ...all]);
    if (!(right >= left)) return [0, 0, FRAME];
    const side = Math.max(Math.max(right - left, bottom - top) * 1.14, FRAME / 2);
    return [(left + right - side) / 2, (top + bottom - side) / 2, side];
  }

  function show(index) {
    const all = ending(shown[index]);
    const [x, y, side] = frame(lines.followed(shown[index].points, unit, endOfBeginning(), penDown()));
    cells[index].svg.setAttribute("viewBox", `${x} ${y} ${side} ${side}`);
    cells[index].given.setAttribute("d", lines.path(kept));
    cells[index].path.setAttribute("d", lines.path(all));
  }

  let last = 0;
  function animate(now) {
    // A frame's time may lie before the moment that asked for it.
    const seconds = Math.min(Math.max((now - last) / 1000, 0), 0.1);
    last = now;
    let more = false;
    shown.forEach((one, index) => {
      if (one.visible >= one.points.length) return;
      // What is far behind is drawn faster.
      const rate = Math.max(FASTEST / 2, (one.points.length - one.visible) * 2);
      one.visible = calm.matches ? one.points.length : Math.min(one.visible + rate * seconds, one.points.length);
      show(index);
      more = true;
    });
    if (more || busy) requestAnimationFrame(animate);
    else last = 0;
  }

  function startAnimation() {
    if (last) return;
    last = performance.now();
    requestAnimationFrame(animate);
  }

  // --- Asking for endings. While the temperature moves, old ones stay until the new ones are whole.
  let replacement = null;
  let started = 0;

  function ask({ animated = true } = {}) {
    if (tooLong()) return;
    if (!animated && busy) {
      wanted = true;
      return;
    }
    wanted = false;
    busy = true;
    token += 1;
    asked = token;
    started = performance.now();
    replacement = emptied();
    if (animated) {
      shown = replacement;
      replacement = null;
      shown.forEach((_, index) => show(index));
      startAnimation();
    }
    page.find("status").textContent = beginning.length ? "Drawing nine endings …" : "Drawing nine of its own …";
    send({
      token,
      beginning,
      label: Number(page.find("label").value) || 0,
      latent: page.find("latent").value,
      temperature: Number(page.find("temperature").value),
      seed,
      count: COUNT,
    });
  }

  const tooLong = () => beginning.length > settings.maxPoints;

  // Endings of what was drawn before would say nothing of a beginning that is too long.
  function allow() {
    const long = tooLong();
    page.find("endings").classList.toggle("none", long);
    for (const button of document.querySelectorAll("#endings button, #redraw, #save")) button.disabled = long;
    if (!long) return;
    busy = wanted = false;
    replacement = null;
    asked = ++token; // what is still being drawn is not shown
    shown = emptied();
    for (const { given, path } of cells) {
      given.setAttribute("d", "");
      path.setAttribute("d", "");
    }
    page.find("status").textContent = "Nothing to continue.";
  }

  function receive(message) {
    if (message.token !== asked) return;
    const target = replacement ?? shown;
    for (const [index, dx, dy, pen] of message.points ?? []) {
      if (pen === sketchRnn.END) target[index].done = true;
      else target[index].points.push([dx, dy, pen]);
    }
    if (!message.done) return;
    busy = false;
    const cut = target.filter((one) => !one.done).length;
    target.forEach((one) => (one.done = true));
    if (replacement) {
      shown = replacement;
      replacement = null;
      shown.forEach((one, index) => {
        one.visible = one.points.length;
        show(index);
      });
    }
    const seconds = (performance.now() - started) / 1000;
    const points = shown.reduce((sum, one) => sum + one.points.length, 0);
    page.find("status").textContent = `${page.counted(points, "point")} in ${seconds.toFixed(1)} s.`
      + (cut ? ` ${cut} of the nine reached the longest length without an end.` : "")
      + " Click a drawing to save it.";
    if (wanted) ask({ animated: false });
  }

  // --- Drawing by hand.
  function place(event) {
    const box = paper.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * FRAME, ((event.clientY - box.top) / box.height) * FRAME];
  }

  function showMine() {
    page.find("mine").setAttribute("d", lines.path(raw));
    page.find("hint").style.display = raw.length ? "none" : "";
    page.find("undo").disabled = page.find("clear").disabled = !raw.length;
  }

  function begun() {
    kept = lines.simplified(raw);
    beginning = lines.offsets(kept, unit, limit);
    if (beginning.length) beginning.at(-1)[2] = page.find("goes-on").checked ? 0 : 1;
    showMine();
    const words = beginning.length ? `${page.counted(beginning.length, "point")} after simplifying` : "";
    page.find("beginning-status").textContent = tooLong()
      ? `${words}: more than ${settings.maxPoints} points. ${raw.length > 1 ? "Undo some lines" : "Draw less"}.`
      : words;
    allow();
    ask();
  }

  paper.addEventListener("pointerdown", (event) => {
    if (drawing || event.button !== 0) return;
    event.preventDefault();
    paper.setPointerCapture(event.pointerId);
    drawing = { pointer: event.pointerId, line: [place(event)] };
    raw.push(drawing.line);
    showMine();
  });
  paper.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing?.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) drawing.line.push(place(one));
    showMine();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    paper.addEventListener(kind, (event) => {
      if (event.pointerId !== drawing?.pointer) return;
      drawing = null;
      begun();
    });
  }

  // --- Saving.
  function save(indices, name) {
    const columns = Math.min(indices.length, 3);
    const side = 200;
    const parts = indices.map((index, i) => {
      const all = ending({ ...shown[index], visible: shown[index].points.length });
      const [x, y, size] = frame(all);
      const factor = side / size;
      const move = `translate(${(i % columns) * side} ${Math.floor(i / columns) * side}) scale(${factor})`
        + ` translate(${-x} ${-y})`;
      const path = (colour, d) => `<path stroke="${colour}" stroke-width="${2.5 / factor}" d="${d}"/>`;
      return `<g transform="${move}">${path("#d9480f", lines.path(kept))}${path("#1b1b25", lines.path(all))}</g>`;
    });
    const [width, height] = [columns * side, Math.ceil(indices.length / columns) * side];
    const text = `<svg xmlns="${namespace}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`
      + `<rect width="100%" height="100%" fill="#ffffff"/>`
      + `<g fill="none" stroke-linecap="round" stroke-linejoin="round">`
      + `${parts.join("")}</g></svg>\n`;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  // --- Controls.
  const temperature = page.find("temperature");
  const tell = () => (page.find("temperature-value").textContent = Number(temperature.value).toFixed(2));
  temperature.addEventListener("input", () => {
    tell();
    ask({ animated: false });
  });
  page.find("redraw").addEventListener("click", () => {
    seed = (seed + 1) | 0;
    ask();
  });
  page.find("undo").addEventListener("click", () => {
    raw.pop();
    begun();
  });
  page.find("clear").addEventListener("click", () => {
    raw.length = 0;
    begun();
  });
  page.find("goes-on").addEventListener("change", begun);
  page.find("save").addEventListener("click", () => save([...cells.keys()], "endings.svg"));
  for (const id of ["label", "latent"]) page.find(id).addEventListener("change", () => ask());
  settings.labels.forEach((label, number) => page.find("label").append(new Option(label, number)));
  page.find("label-box").hidden = !settings.labels.length;
  page.find("latent-box").hidden = !settings.latent;
  paper.setAttribute("viewBox", `0 0 ${FRAME} ${FRAME}`);
  const edge = (FRAME - BOX) / 2;
  for (const [name, value] of Object.entries({ x: edge, y: edge, width: BOX, height: BOX, rx: 12 })) {
    page.find("guide").setAttribute(name, value);
  }
  page.find("hint").setAttribute("x", FRAME / 2);
  page.find("hint").setAttribute("y", FRAME / 2);
  tell();

  const tensors = page.tensors();
  const send = page.background(["network.js", "sketch_rnn_model.js"], receive);
  send({ settings, tensors });
  showMine();
  ask();

  // For tests: the model itself, and what the page shows.
  let model = null;
  window.magenta = {
    model: () => (model ??= sketchRnn.model(settings, tensors)),
    state: () => ({ busy: busy || wanted, beginning, endings: shown.map(({ points }) => points), seed }),
  };
})();
