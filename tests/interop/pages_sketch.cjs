// pages_sketch.cjs CHROMIUM PAGE FOLDER [star|circle|head] [plain]: uses a SketchRNN's page as a person would and prints
// what came of it as JSON; plain: with a finger, in a browser without workers. Into FOLDER: page.png, phone.png,
// dark.png, endings.svg.
const fs = require("fs");
const path = require("path");
const url = require("url");
const puppeteer = require("puppeteer-core");

const STAR = [[0.3, 0.75], [0.5, 0.22], [0.7, 0.75], [0.22, 0.42], [0.78, 0.42], [0.3, 0.75]];
const SHAPES = { star: [STAR], circle: [ring(0.5, 0.52, 0.3, 0.24)] };

// A cat's or pig's head: a round line and two ears.
SHAPES.head = [ring(0.5, 0.52, 0.3, 0.25), [[0.29, 0.34], [0.25, 0.16], [0.4, 0.28]], [[0.6, 0.28], [0.75, 0.16],
  [0.71, 0.34]]];

function ring(x, y, width, height) {
  return Array.from({ length: 41 }, (_, i) =>
    [x + width * Math.cos((i / 40) * 2 * Math.PI), y + height * Math.sin((i / 40) * 2 * Math.PI)]);
}

async function main([chromium, file, folder, shape = "star", kind]) {
  const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const tab = await browser.newPage();
    const plain = kind === "plain";
    await tab.setViewport({ width: 1200, height: 860, hasTouch: plain });
    if (plain) await tab.evaluateOnNewDocument(() => delete window.Worker);
    const errors = [], requests = [];
    tab.on("console", (message) => {
      if (["error", "warn", "warning"].includes(message.type())) errors.push(message.text());
    });
    tab.on("pageerror", (error) => errors.push(String(error)));
    tab.on("requestfailed", (request) => errors.push(`failed: ${request.url().slice(0, 80)}`));
    tab.on("request", (request) => requests.push(request.url().slice(0, 80)));
    tab.on("dialog", (dialog) => {
      errors.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    const client = await tab.createCDPSession();
    await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: path.resolve(folder) });

    const state = () => tab.evaluate(() => window.magenta.state());
    const settled = async () => {
      await tab.waitForFunction(() => !window.magenta.state().busy, { timeout: 120_000, polling: 50 });
      return state();
    };
    await tab.goto(`${url.pathToFileURL(path.resolve(file)).href}#seed=536870912`);
    const found = { own: await settled() };
    const text = (id) => tab.$eval(id, (element) => element.textContent);
    found.temperature = await tab.$eval("#temperature", (input) => input.value);
    found.first = await tab.evaluate(() => {
      const { latent } = page.settings;
      const model = window.magenta.model();
      const begun = model.begin(latent ? new Float64Array(latent).fill(0.5) : null, 1, 1);
      return [...model.step(begun, Float64Array.from(sketchRnn.START), 1)];
    });

    const box = await (await tab.$("#paper")).boundingBox();
    const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
    const line = async (points) => {
      if (plain) {
        await tab.touchscreen.touchStart(...at(points[0]));
        for (const point of points.slice(1)) await tab.touchscreen.touchMove(...at(point));
        return tab.touchscreen.touchEnd();
      }
      await tab.mouse.move(...at(points[0]));
      await tab.mouse.down();
      for (const point of points.slice(1)) await tab.mouse.move(...at(point), { steps: points.length > 10 ? 1 : 8 });
      await tab.mouse.up();
    };
    const began = Date.now();
    for (const points of SHAPES[shape]) await line(points);
    found.begun = await settled();
    found.told = await text("#status");
    found.milliseconds = Date.now() - began;
    // Behind the last point all is drawn.
    const drawn = async () => tab.evaluate(() => [...document.querySelectorAll("#endings path:last-child")]
      .map((path) => path.getAttribute("d").length));
    await new Promise((resolve) => setTimeout(resolve, 2500));
    found.paths = await drawn();
    await tab.screenshot({ path: path.join(folder, "page.png") });

    const move = async (value) => {
      await tab.evaluate((wanted) => {
        const slider = document.getElementById("temperature");
        slider.value = wanted;
        slider.dispatchEvent(new Event("input"));
      }, value);
      return settled();
    };
    found.warm = await move("1.2");
    found.again = await move(found.temperature);
    found.cold = await move("0.01");
    await move(found.temperature);
    await tab.focus("#redraw");
    await tab.keyboard.press("Enter");
    found.redrawn = await settled();
    await line([[0.4, 0.85], [0.6, 0.85]]);
    found.more = await settled();
    await tab.click("#goes-on");
    found.goesOn = await settled();
    await tab.click("#goes-on");
    await tab.click("#undo");
    found.undone = await settled();
    await tab.click("#save");
    for (let i = 0; i < 100 && !fs.existsSync(path.join(folder, "endings.svg")); i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
    await tab.screenshot({ path: path.join(folder, "dark.png") });
    await tab.setViewport({ width: 390, height: 844, hasTouch: plain });
    await tab.screenshot({ path: path.join(folder, "phone.png"), fullPage: true });
    found.overflow = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (await tab.evaluate(() => !document.getElementById("label-box").hidden)) {
      found.labels = await tab.evaluate(() => [...document.getElementById("label").options].map((one) => one.text));
      await tab.select("#label", "1");
      found.label = await settled();
    }
    if (await tab.evaluate(() => !document.getElementById("latent-box").hidden)) {
      await tab.select("#latent", "prior");
      found.prior = await settled();
    }
    await tab.click("#clear");
    found.cleared = await settled();
    if (!plain && !found.prior) {
      await tab.setViewport({ width: 1200, height: 860 });
      await tab.evaluate(() => scrollTo(0, 0));
      const corners = Array.from({ length: 300 }, (_, i) => [i % 2 ? 0.2 : 0.8, 0.1 + (0.8 * i) / 300]);
      await line(corners);
      found.tooLong = { ...(await state()), words: [await text("#beginning-status"), await text("#status")] };
      found.tooLong.shown = (await drawn()).concat(await tab.$$eval("#endings button:not(:disabled)", (all) => all.length));
      await tab.click("#redraw");
      await tab.click("#undo");
      found.shortAgain = await settled();
    }
    // Controls without a name are of no use to those who do not see them.
    found.unnamed = await tab.evaluate(() => [...document.querySelectorAll("button, input, select")].filter((one) =>
      !one.hidden && !one.getAttribute("aria-label") && !one.textContent.trim() && !(one.labels && one.labels.length))
      .map((one) => one.outerHTML));
    console.log(JSON.stringify({ errors, requests, ...found }));
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
