// node sketch_rnn_js_client.cjs CASES.json
// What the class SketchRNN of @magenta/sketch, which fetches JSON over HTTP, makes of models.
// A case: {file, strokes: [[dx, dy, down, up, end], ...] in the model's units, temperature, drawings}.
const fs = require('fs');
const http = require('http');
const {SketchRNN} = require('@magenta/sketch');

const cases = JSON.parse(fs.readFileSync(process.argv[2]));
const say = console.log;
console.log = () => {};  // the client tells that it is there

const server = http.createServer((request, response) => {
  response.setHeader('Connection', 'close');
  response.end(fs.readFileSync(cases[Number(request.url.slice(1))].file));
});

const plain = (pdf) => Object.fromEntries(Object.entries(pdf).map(([name, values]) => [name, Array.from(values)]));

function draw(model, longest, temperature) {
  let state = model.zeroState();
  let stroke = model.zeroInput();
  const strokes = [];
  while (strokes.length < longest) {
    state = model.update(stroke, state);
    stroke = model.sample(model.getPDF(state, temperature));
    strokes.push(stroke);
    if (stroke[4]) break;
  }
  return strokes;
}

async function answer(number, one) {
  const model = new SketchRNN(`http://127.0.0.1:${server.address().port}/${number}`);
  await model.initialize();
  model.setPixelFactor(1);  // so that its units are the model's
  let state = model.zeroState();
  const steps = [];
  for (const stroke of one.strokes) {
    state = model.update(stroke, state);
    steps.push({c: Array.from(state.c), h: Array.from(state.h), pdf: plain(model.getPDF(state, one.temperature))});
  }
  const together = model.updateStrokes(one.strokes, model.zeroState());
  const drawings = Array.from({length: one.drawings}, () => draw(model, model.info.max_seq_len, 0.3));
  return {info: model.info, units: model.numUnits, steps, together: Array.from(together.h), drawings};
}

server.listen(0, '127.0.0.1', async () => {
  try {
    const answers = [];
    for (let number = 0; number < cases.length; number++) answers.push(await answer(number, cases[number]));
    say(JSON.stringify(answers));
  } finally {
    server.close();
  }
});
