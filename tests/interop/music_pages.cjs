"use strict";
// music_pages.cjs FAMILY CHROMIUM PAGE FOLDER [CHORDS]: uses a page as a person would, and prints what came of it as JSON.
// CHORDS: another page, of a MusicVAE that is told chords.
// Into FOLDER: page.png, dark.png, phone.png, and the MIDI file that is saved.
const path = require("path"), url = require("url");
const puppeteer = require("puppeteer-core");

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// The sound of some time, by looks at the analyser: its largest sample, its power, and whether all are numbers.
const listen = (tab, milliseconds) => tab.evaluate(async (milliseconds) => {
  const { analyser } = window.magenta.sound(), samples = new Float32Array(analyser.fftSize);
  let peak = 0, power = 0, count = 0, numbers = true;
  for (const end = performance.now() + milliseconds; performance.now() < end;) {
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) {
      peak = Math.max(peak, Math.abs(sample));
      power += sample * sample;
      numbers &&= Number.isFinite(sample);
    }
    count += samples.length;
    await new Promise((done) => setTimeout(done, 40));
  }
  return { peak, rms: Math.sqrt(power / count), numbers, voices: window.magenta.sound().voices.size };
}, milliseconds);

// As much at once as there may ever be, through the synthesizer: {peak, numbers, rms of the begin and behind the end}.
const rendered = (tab) => tab.evaluate(async () => {
  const rate = 44100, context = new OfflineAudioContext(2, 11 * rate, rate), sound = new Sound(context);
  sound.volume(1);
  for (let i = 0; i < 60; i++) {
    const time = 0.05 * (i % 5);
    sound.play({ kind: i % 4 ? "piano" : "bass", pitch: 24 + i, velocity: 127, time, duration: i % 3 ? 1.5 : undefined });
  }
  for (const pitch of [36, 38, 42, 46, 45, 48, 50, 49, 51, 39, 75]) {
    sound.play({ kind: "drum", pitch, velocity: 127, time: 0.2 });
  }
  const buffer = await context.startRendering(), rms = (channel, from, to) => {
    const part = channel.subarray(from * rate, to * rate);
    return Math.sqrt(part.reduce((sum, value) => sum + value * value, 0) / part.length);
  };
  const channels = [0, 1].map((number) => buffer.getChannelData(number));
  return {
    peak: Math.max(...channels.map((channel) => channel.reduce((most, value) => Math.max(most, Math.abs(value)), 0))),
    numbers: channels.every((channel) => channel.every(Number.isFinite)),
    begin: rms(channels[0], 0, 1), end: rms(channels[0], 9, 11),
  };
});

const slide = (tab, id, value) => tab.evaluate((id, value) => {
  const input = document.getElementById(id);
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}, id, value);

const slicesMade = async (tab) => {
  await tab.waitForFunction(() => {
    const now = window.magenta.state();
    return now.shown === now.asked && now.cells.every((cell) => cell.notes);
  }, { timeout: 240_000, polling: 50 });
  return tab.evaluate(() => window.magenta.state());
};

// What is shown before and after another chord is picked for the second bar; and numbers that pages begin with.
async function chords(tab) {
  const found = { before: await slicesMade(tab) };
  found.bars = await tab.$$eval("#chords select", (all) => all.map((select) => select.selectedIndex));
  await (await tab.$$("#chords select"))[1].select("F#m");
  found.after = await slicesMade(tab);
  found.picked = await tab.$$eval("#chords select", (all) => all.map((select) => select.selectedIndex));
  found.seeds = await tab.evaluate(() => {
    const told = page.seed();
    location.hash = "";
    return [told, page.seed(), page.seed()];
  });
  return found;
}

async function slices(tab) {
  const state = () => tab.evaluate(() => window.magenta.state());
  const settled = () => slicesMade(tab);
  const first = await settled(), found = { corners: first.corners, middle: first.notes, cells: first.cells };
  const box = await (await tab.$("#square")).boundingBox(), half = 0.5 / first.side;
  const at = (x, y) => [box.x + box.width * (half + x * (1 - 2 * half)), box.y + box.height * (half + y * (1 - 2 * half))];
  found.there = [];
  for (const [x, y] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
    await tab.mouse.click(...at(x, y));
    found.there.push((await settled()).notes);
  }
  await tab.click("#play");
  await wait(600);
  await tab.mouse.move(...at(0, 0));
  await tab.mouse.down();
  const seen = new Set();
  for (let i = 0; i <= 24; i++) {
    await tab.mouse.move(...at(i / 24, i / 24));
    await wait(20);
    seen.add(JSON.stringify((await state()).notes));
  }
  await tab.mouse.up();
  found.dragged = seen.size;
  found.after = (await settled()).notes;
  found.heard = await listen(tab, 1500);
  found.played = await tab.evaluate(() => window.magenta.sound().played);
  await tab.click("#save");
  await tab.screenshot({ path: path.join(folder, "page.png") });
  await tab.click("#play");
  await wait(1200);
  found.silent = await listen(tab, 400);
  found.told = await tab.$eval("#status", (element) => element.textContent);
  await tab.click("#corners");
  found.others = (await settled()).notes;
  await slide(tab, "temperature", 1.5);
  found.warm = (await settled()).notes;
  found.keys = [];
  await tab.focus("#square");
  for (const key of ["Home", "ArrowLeft", "ArrowUp"]) {
    await tab.keyboard.press(key);
    found.keys.push((await state()).at);
  }
  await settled();
  return found;
}

async function performance_(tab) {
  const state = () => tab.evaluate(() => window.magenta.state());
  const until = (seconds) => tab.waitForFunction((seconds) => window.magenta.state().position > seconds,
    { timeout: 120_000, polling: 50 }, seconds);
  const found = { hidden: await tab.$eval("#asked", (element) => element.hidden) };
  await tab.click("#play");
  await until(2);
  found.first = await state();
  found.heard = await listen(tab, 1200);
  found.asked = [];
  for (const perSecond of [2, 30]) {
    await slide(tab, "density", Math.log2(perSecond));
    found.asked.push((await state()).asked);
  }
  await tab.evaluate(() => document.querySelectorAll("#scales button").forEach((button) => {
    if (button.textContent === "C major") button.click();
  }));
  found.major = (await state()).asked.histogram;
  await slide(tab, "temperature", 0.8);
  await until(4.5);
  found.second = await state();
  found.played = await tab.evaluate(() => window.magenta.sound().played);
  await tab.screenshot({ path: path.join(folder, "page.png") });
  await tab.click("#save");
  await tab.click("#play");
  await wait(1200);
  found.silent = await listen(tab, 400);
  found.stopped = await state();
  found.notes = await tab.evaluate(() => window.magenta.notes());
  await tab.click("#play");
  await until(found.stopped.position + 0.5);
  found.resumed = await state();
  await tab.click("#again");
  await until(1);
  found.anew = await tab.evaluate(() => ({ ...window.magenta.state(), notes: window.magenta.notes() }));
  await tab.click("#play");
  return found;
}

const [family, chromium, file, folder, withChords] = process.argv.slice(2);

async function main() {
  const browser = await puppeteer.launch({
    executablePath: chromium, args: ["--no-sandbox", "--autoplay-policy=user-gesture-required"],
  });
  try {
    const tab = await browser.newPage(), errors = [], requests = [];
    await tab.setViewport({ width: 1200, height: 800 });
    tab.on("console", (message) => {
      if (message.type() !== "log") errors.push(message.text());
    });
    tab.on("pageerror", (error) => errors.push(String(error)));
    tab.on("request", (request) => requests.push(request.url().slice(0, 80)));
    const client = await tab.createCDPSession();
    await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: path.resolve(folder) });
    await tab.goto(`${url.pathToFileURL(path.resolve(file)).href}#seed=1`);
    const found = await (family === "music_vae" ? slices : performance_)(tab);
    found.rendered = await rendered(tab);
    await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
    await wait(300);
    await tab.screenshot({ path: path.join(folder, "dark.png") });
    await tab.setViewport({ width: 390, height: 844 });
    await wait(300);
    found.wide = await tab.evaluate(() => document.documentElement.scrollWidth);
    found.playEnds = await tab.$eval("#play", (button) => button.getBoundingClientRect().bottom + scrollY);
    await tab.screenshot({ path: path.join(folder, "phone.png"), fullPage: true });
    if (withChords) {
      await tab.goto(`${url.pathToFileURL(path.resolve(withChords)).href}#seed=2`);
      found.chords = await chords(tab);
    }
    process.stdout.write(JSON.stringify({ ...found, errors, requests }));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
