// node magenta_js_client.cjs CASES.json ANSWERS.json
// What the class MusicVAE of @magenta/music makes of checkpoint folders, which it reads over HTTP.
const fs = require('fs');
const http = require('http');
const path = require('path');
const tf = require('@tensorflow/tfjs');
const {MusicVAE} = require('@magenta/music/node/music_vae');

const [casesFile, answersFile] = process.argv.slice(2);
const cases = JSON.parse(fs.readFileSync(casesFile));
const root = path.dirname(casesFile);

const server = http.createServer((request, response) => {
  // While a model is computed nobody answers, and a connection that was kept would be cut.
  response.setHeader('Connection', 'close');
  const file = path.join(root, decodeURIComponent(request.url));
  if (!fs.existsSync(file)) {
    response.writeHead(404);
    response.end();
    return;
  }
  response.end(fs.readFileSync(file));
});

const numbers = (tensor) => ({shape: tensor.shape, values: Array.from(tensor.dataSync())});
const tensor = ({shape, values}) => tf.tensor(values, shape, 'float32');
const notes = (sequence) => sequence.notes.map((note) => ({
  pitch: note.pitch, program: note.program, isDrum: note.isDrum, velocity: note.velocity,
  start: note.quantizedStartStep, end: note.quantizedEndStep, startTime: note.startTime, endTime: note.endTime,
}));

async function answer(url, one) {
  const model = new MusicVAE(`${url}/${one.folder}`);
  await model.initialize();
  const told = {};
  if (one.chords) told.chordProgression = one.chords;
  if (one.hits) told.extraControls = {hits: tensor(one.hits)};
  const found = {};
  try {
    found.mean = numbers(await model.encodeTensors(tensor(one.x), told));
  } catch (error) {
    found.encodeError = error.message;
  }
  const z = tensor(one.z);
  found.greedy = numbers(await model.decodeTensors(z, undefined, told));
  if (one.brief) return found;
  found.warm = numbers(await model.decodeTensors(z, 1.0, told));
  const sequences = await model.decode(z, undefined, told);
  found.notes = sequences.map(notes);
  found.again = sequences.map((sequence) => numbers(model.dataConverter.toTensor(sequence)));
  found.sampled = (await model.sample(2, 1.0, told)).map(notes);
  return found;
}

server.listen(0, '127.0.0.1', async () => {
  try {
    const answers = {};
    for (const one of cases) {
      answers[one.folder] = await answer(`http://127.0.0.1:${server.address().port}`, one);
    }
    fs.writeFileSync(answersFile, JSON.stringify(answers));
    process.exit(0);
  } catch (error) {
    console.error(error.stack);
    process.exit(1);
  }
});
