"use strict";
// The networks of the music pages, run without a browser: node music_pages_numbers.cjs FAMILY INPUT.json
const fs = require("fs"), path = require("path"), vm = require("vm");
const [family, file] = process.argv.slice(2);
const folder = path.join(__dirname, "../../magenta_lite/interop/pages");
const scripts = { music_vae: "music_vae_decoder.js", performance_rnn: "performance_rnn_stream.js", midi: "midi_file.js" };
const context = vm.createContext({ MessageChannel, performance, console });
const source = ["network.js", "lstm_stack.js", scripts[family]].map((name) => fs.readFileSync(path.join(folder, name), "utf8"));
const names = { music_vae: "{ decoderOf, notesOf }", performance_rnn: "{ streamOf }", midi: "{ midiFile }" };
const made = vm.runInContext(`${source.join("\n")}\n(${names[family]})`, context);
const given = JSON.parse(fs.readFileSync(file));
const tensors = (given.tensors || []).map((tensor) => {
  const bytes = Buffer.from(tensor.numbers, "base64");
  return {
    ...tensor, scale: Float32Array.from(tensor.scale),
    numbers: new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2),
  };
});

function whole(steps) {
  for (;;) {
    const { value, done } = steps.next();
    if (done) return value;
  }
}

let found;
if (family === "music_vae") {
  const decode = made.decoderOf(given.settings, tensors);
  found = given.slices.map(({ z, chords, temperature, seed }) => {
    const outputs = [];
    const events = whole(decode(z, { temperature, seed, chords, outputs }));
    return { events, outputs, notes: made.notesOf(given.settings, events) };
  });
} else if (family === "performance_rnn") {
  const stream = made.streamOf(given.settings, tensors);
  if (given.tokens) {
    stream.restart(0);
    found = given.tokens.map((tokens, i) => Array.from(stream.advance(tokens, given.told[i])));
  } else {
    stream.restart(given.seed);
    found = { events: [], begun: [], ended: [] };
    while (found.events.length < given.count) {
      const { event, begun, ended } = stream.next({ ...given.told, temperature: given.temperature });
      found.events.push(event);
      found.begun.push(...begun);
      found.ended.push(...ended);
    }
    found.time = stream.time;
  }
} else {
  found = Array.from(made.midiFile(given.notes, given.tempo));
}
process.stdout.write(JSON.stringify(found));
