// pages_sketch_numbers.cjs PAGE CASES: what a SketchRNN's page computes, run by Node without a browser. CASES is JSON:
// {rows [T, 5], z or null, label, draws [{uniforms, temperature}], lines, request}; prints {outputs, parameters,
// posterior, drawn, lines, offsets, endings, noise}.
const fs = require("fs");
const vm = require("vm");

const [pageFile, casesFile] = process.argv.slice(2);
const text = fs.readFileSync(pageFile, "utf8");
const cases = JSON.parse(fs.readFileSync(casesFile, "utf8"));

const inside = (pattern) => pattern.exec(text)[1];
const settings = JSON.parse(inside(/<script type="application\/json" id="settings">(.*?)<\/script>/s));
const tensors = settings.tensors.map((tensor, index) => {
  const block = new RegExp(`<script type="text/plain" id="weights-${index}">(.*?)</script>`);
  const [bytes, scales] = [inside(block), tensor.scale].map((one) => Buffer.from(one, "base64"));
  const numbers = Int16Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readInt16LE(2 * i));
  const scale = Float32Array.from({ length: scales.length / 4 }, (_, i) => scales.readFloatLE(4 * i));
  return { ...tensor, scale, numbers };
});
const context = vm.createContext({ MessageChannel });
for (const name of ["network.js", "sketch_rnn_model.js", "sketch_rnn_lines.js"]) {
  vm.runInContext(inside(new RegExp(`<script data-name="${name}">(.*?)</script>`, "s")), context);
}
const { network, sketchRnn, lines } = vm.runInContext("({ network, sketchRnn, lines })", context);
const model = sketchRnn.model(settings, tensors);

// Five at once, so that four are computed together and one by itself; all the same, or they would be noticed below.
const BATCH = 5;
const repeated = (values) => Float64Array.from(Array(BATCH).fill(values).flat());
const begun = model.begin(cases.z && repeated(cases.z), cases.label, BATCH);
let said = null;
const outputs = cases.rows.map((row) => {
  said = model.step(begun, repeated(row), BATCH);
  const size = said.length / BATCH;
  const each = Array.from({ length: BATCH }, (_, b) => [...said.subarray(b * size, (b + 1) * size)]);
  each.forEach((one) => one.forEach((value, i) => {
    if (Math.abs(value - each[0][i]) > 1e-9) throw new Error("samples of a batch differ");
  }));
  return each[0];
});
const posterior = settings.latent ? model.posterior(cases.rows.slice(1), cases.label) : null;
const drawn = cases.draws.map(({ uniforms, temperature }) => {
  const left = [...uniforms];
  return model.draw(said, 0, { uniform: () => left.shift() }, temperature);
});
const kept = lines.simplified(cases.lines);
const { request } = cases;
const endings = Array.from({ length: request.count }, () => []);
for (const points of sketchRnn.endings(model, settings, request, {})) {
  for (const [index, ...point] of points) if (point[2] !== sketchRnn.END) endings[index].push(point);
}
const noise = [...network.random(request.seed * 1009 + 997).normals(request.count * settings.latent)];
console.log(JSON.stringify({
  outputs,
  parameters: Object.fromEntries(Object.entries(model.parameters(said, 0)).map(([name, value]) => [name, [...value]])),
  posterior: posterior && { mean: [...posterior.mean], deviation: [...posterior.deviation] },
  drawn,
  lines: kept,
  offsets: lines.offsets(kept, (settings.scale * 255) / settings.size, settings.limit / settings.scale),
  endings,
  noise,
}));
