"use strict";
/* Piano rolls and drum grids on a canvas. */

/* The page's colours, read again when it turns light or dark. */
const colours = (() => {
  const names = ["page", "card", "edge", "ink", "text", "soft", "accent", "given", "piano", "bass", "drum", "sounding"];
  let known = null;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { known = null; });
  return () => {
    if (!known) {
      const style = getComputedStyle(document.documentElement);
      known = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    }
    return known;
  };
})();

/* A canvas as large as it is shown, in the screen's own dots: its context, in CSS pixels, and its size. */
function canvasOf(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, scale = window.devicePixelRatio || 1;
  const wide = Math.round(width * scale), high = Math.round(height * scale);
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height };
}

/* Low and high pitch of notes, at least so many semitones apart, with a little room. */
function rangeOf(notes, least = 24) {
  const pitches = notes.filter((note) => note.kind !== "drum").map((note) => note.pitch);
  if (!pitches.length) return { low: 60 - least / 2, high: 60 + least / 2 };
  const low = pitches.reduce((a, b) => Math.min(a, b)) - 1, high = pitches.reduce((a, b) => Math.max(a, b)) + 1;
  const room = Math.max(0, least - (high - low)) / 2;
  return { low: low - Math.floor(room), high: high + Math.ceil(room) };
}

/* Where a note lies: lanes of pitches above, lanes of drums below, whichever there are. -> {top, size} in pixels. */
function lanesOf({ y, height }, { low, high, drums, melodic }) {
  const share = melodic && drums.length ? 0.6 : melodic ? 1 : 0, pitches = height * share;
  const gap = share > 0 && share < 1 ? 6 : 0, pitchSize = pitches / (high - low + 1);
  const drumSize = (height - pitches - gap) / Math.max(drums.length, 1);
  return (note) => note.kind === "drum"
    ? { top: y + height - (drums.indexOf(note.pitch) + 1) * drumSize, size: drumSize }
    : { top: y + (high - note.pitch) * pitchSize, size: pitchSize };
}

/* Notes between two times in a box {x, y, width, height}. about: {low, high, drums: pitches from below, melodic}. */
function paintNotes(context, box, notes, from, to, about) {
  const lane = lanesOf(box, about), scale = box.width / (to - from), known = colours();
  for (const note of notes) {
    if (note.end <= from || note.start >= to) continue;
    const { top, size } = lane(note);
    const left = box.x + (Math.max(note.start, from) - from) * scale;
    const right = box.x + (Math.min(note.end, to) - from) * scale;
    context.globalAlpha = 0.35 + 0.65 * note.velocity / 127;
    context.fillStyle = known[note.kind];
    const tall = Math.max(size - (size > 5 ? 1.5 : 0), 1.5);
    context.beginPath();
    context.roundRect(left, top, Math.max(right - left - (scale > 6 ? 1 : 0.3), 1.2), tall, Math.min(3, tall / 3));
    context.fill();
  }
  context.globalAlpha = 1;
}

/* What stands for a slice that is still to be made: three dots. */
function paintWaiting(context, x, y) {
  context.fillStyle = colours().soft;
  context.globalAlpha = 0.6;
  for (const shift of [-6, 0, 6]) {
    context.beginPath();
    context.arc(x + shift, y, 1.6, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

/* Names of drums, left of their lanes, for which the box leaves NAMED pixels free; where lanes are narrow, not of all. */
const NAMED = 62, LEAST_NAME = 8;
function paintDrumNames(context, box, about) {
  const lane = lanesOf(box, about);
  context.fillStyle = colours().soft;
  context.textAlign = "right";
  context.textBaseline = "middle";
  let above = Infinity;
  for (const pitch of about.drums) {
    const { top, size } = lane({ kind: "drum", pitch });
    if (above - top < LEAST_NAME) continue;
    above = top;
    context.font = `${Math.min(Math.max(size, LEAST_NAME), 11)}px system-ui, sans-serif`;
    context.fillText(page.settings.drumNames[pitch], box.x - 5, top + size / 2, NAMED - 9);
  }
}

/* Lines behind the notes: one every so many units, a stronger one every `strong`-th; and the lanes of black keys. */
function paintGrid(context, box, from, to, every, strong, about) {
  const known = colours(), scale = box.width / (to - from), lane = lanesOf(box, about);
  context.fillStyle = known.edge;
  for (let pitch = Math.ceil(about.low); about.melodic && pitch <= about.high; pitch++) {
    const { top, size } = lane({ kind: "piano", pitch });
    context.globalAlpha = 0.28;
    if ([1, 3, 6, 8, 10].includes(pitch % 12)) context.fillRect(box.x, top, box.width, size);
  }
  about.drums.forEach((pitch, number) => {
    const { top, size } = lane({ kind: "drum", pitch });
    context.globalAlpha = 0.22;
    if (number % 2 === 0) context.fillRect(box.x, top, box.width, size);
  });
  for (let line = Math.ceil(from / every); line * every <= to; line++) {
    context.globalAlpha = line % strong === 0 ? 1 : 0.4;
    context.fillRect(Math.round(box.x + (line * every - from) * scale), box.y, 1, box.height);
  }
  context.globalAlpha = 1;
}
