"use strict";
/* Standard MIDI files, type 1: the tempo in the first track, then a track for each kind of sound. */

const MIDI_TICKS = 960; // of a quarter note
const MIDI_CHANNELS = { piano: [0, 0], bass: [1, 33], drum: [9, 0] }; // channel and program

/* The bytes of notes {start, end, pitch, velocity, kind} in quarter notes, at so many quarters a minute. A note that
   is struck again while it sounds ends there. */
function midiFile(notes, quartersPerMinute) {
  const number = (value, size) => Array.from({ length: size }, (_, i) => (value >>> (8 * (size - 1 - i))) & 255);
  const variable = (value) => {
    const sevens = [value & 127];
    while ((value = Math.floor(value / 128)) > 0) sevens.push(128 | (value & 127));
    return sevens.reverse();
  };
  const chunk = (name, bytes) => [...name].map((letter) => letter.charCodeAt(0)).concat(number(bytes.length, 4), bytes);
  const track = (events) => {
    let last = 0;
    const bytes = [];
    for (const [tick, , message] of events.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
      bytes.push(...variable(tick - last), ...message);
      last = tick;
    }
    return chunk("MTrk", bytes.concat([0, 255, 0x2f, 0]));
  };
  const tempo = number(Math.min(Math.round(6e7 / quartersPerMinute), 0xffffff), 3);
  const tracks = [track([[0, 0, [255, 0x51, 3, ...tempo]]])];
  for (const [kind, [channel, program]] of Object.entries(MIDI_CHANNELS)) {
    const own = notes.filter((note) => note.kind === kind).sort((a, b) => a.start - b.start);
    if (!own.length) continue;
    const events = [[0, 0, [0xc0 | channel, program]]], sounding = new Map();
    for (const { start, end, pitch, velocity } of own) {
      const on = Math.round(start * MIDI_TICKS), before = sounding.get(pitch);
      if (before && before[0] > on) before[0] = on;
      const off = [Math.max(Math.round(end * MIDI_TICKS), on + 1), 1, [0x80 | channel, pitch, 0]];
      events.push([on, 2, [0x90 | channel, pitch, velocity]], off);
      sounding.set(pitch, off);
    }
    tracks.push(track(events));
  }
  return Uint8Array.from([...chunk("MThd", [...number(1, 2), ...number(tracks.length, 2), ...number(MIDI_TICKS, 2)]),
    ...tracks.flat()]);
}

/* Has the browser save a file. */
function saveFile(bytes, name, type = "audio/midi") {
  const link = document.createElement("a"), address = URL.createObjectURL(new Blob([bytes], { type }));
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
