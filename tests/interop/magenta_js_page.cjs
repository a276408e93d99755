// node magenta_js_page.cjs CHROMIUM FOLDER: a page as docs/interop.md shows it, with the exported model in FOLDER, which
// is served to a Chromium; prints as JSON the notes that it samples and how many of them its player begins to play.
const fs = require('fs');
const http = require('http');
const path = require('path');
const puppeteer = require('puppeteer-core');

const [chromium, folder] = process.argv.slice(2);
const bundle = path.join(path.dirname(require.resolve('@magenta/music/package.json')), 'dist', 'magentamusic.js');
const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><button id="play">Play</button>
<script src="magentamusic.js"></script>
<script>
  const model = new mm.MusicVAE('melodies');
  const player = new mm.Player();
  document.getElementById('play').onclick = async () => {
    player.resumeContext();
    await model.initialize();
    const [melody] = await model.sample(1, 0.5);
    player.start(melody);
    window.melody = melody;
  };
</script>`;

const server = http.createServer((request, response) => {
  response.setHeader('Connection', 'close');
  const name = decodeURIComponent(request.url);
  if (name === '/') {
    response.setHeader('Content-Type', 'text/html');
    response.end(page);
    return;
  }
  const file = name === '/magentamusic.js' ? bundle : path.join(folder, path.basename(name));
  if (!fs.existsSync(file)) response.statusCode = 404;
  response.end(fs.existsSync(file) ? fs.readFileSync(file) : '');
});

server.listen(0, '127.0.0.1', async () => {
  const errors = [];
  const browser = await puppeteer.launch({executablePath: chromium, args: ['--no-sandbox', '--disable-gpu']});
  try {
    const tab = await browser.newPage();
    tab.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    tab.on('pageerror', (error) => errors.push(String(error)));
    await tab.goto(`http://127.0.0.1:${server.address().port}/`);
    await tab.click('#play');
    await tab.waitForFunction(() => window.melody, {timeout: 60000});
    const found = await tab.evaluate(() => ({
      notes: window.melody.notes.map((note) => [note.quantizedStartStep, note.quantizedEndStep, note.pitch]),
      steps: window.melody.totalQuantizedSteps,
      playing: player.isPlaying(),
    }));
    console.log(JSON.stringify({...found, errors}));
    await browser.close();
    process.exit(0);
  } catch (error) {
    console.error(error.stack, errors);
    await browser.close();
    process.exit(1);
  }
});
