// Drives one page in Firefox (WebDriver BiDi) or Chromium: reads {browser, program, url, steps} from stdin, writes what came of it.
//
// A step is {evaluate: text}, {until: text}, {press: key}, {click: selector}, {drag: [selector, from, to]},
// {axe: true} or {heap: true}; results come in that order. The page's policy forbids eval, so conditions are asked from here.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";

const DEADLINE_MS = 60_000;
const input = [];
for await (const part of process.stdin) input.push(part);
const { browser: name, program, url, steps, width = 1280, height = 900 } = JSON.parse(Buffer.concat(input).toString());

const browser = await puppeteer.launch({
  browser: name,
  executablePath: program,
  headless: true,
  protocolTimeout: 120_000,
  args: name === "chrome" ? ["--no-sandbox", "--disable-gpu", "--js-flags=--expose-gc"] : [],
});
try {
  const page = await browser.newPage();
  await page.setViewport({ width, height });
  const complaints = [];
  const requests = [];
  page.on("console", (m) => ["error", "warn", "warning"].includes(m.type()) && !m.text().includes("willReadFrequently") && complaints.push(m.text()));
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("request", (r) => requests.push(r.url()));
  const until = async (condition) => {
    const deadline = Date.now() + DEADLINE_MS;
    while (!(await page.evaluate(condition))) if (Date.now() > deadline) throw new Error(`never true: ${condition}`);
  };
  const began = Date.now();
  await page.goto(url, { waitUntil: "load", timeout: DEADLINE_MS });
  await until("document.body.dataset.ready !== undefined || document.body.dataset.error !== undefined");
  const ready = { wall_ms: Date.now() - began, page_ms: Number(await page.evaluate("document.body.dataset.ready ?? null")) };
  const axe = await readFile(fileURLToPath(new URL("node_modules/axe-core/axe.min.js", import.meta.url)), "utf8");
  const work = {
    evaluate: (text) => page.evaluate(text),
    until,
    press: (key) => page.keyboard.press(key),
    click: (selector) => page.click(selector),
    async drag([selector, from, to]) {
      await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).scrollIntoView({ block: "center" })`);
      const { x, y, height: tall } = await (await page.$(selector)).boundingBox();
      await page.mouse.move(x + from, y + tall / 2);
      await page.mouse.down();
      await page.mouse.move(x + to, y + tall / 2, { steps: 4 });
      await page.mouse.up();
    },
    async axe() {
      await page.evaluate(axe);
      const { violations } = await page.evaluate("axe.run({ resultTypes: ['violations'] })");
      return violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 5).map((n) => n.html.slice(0, 200)) }));
    },
    async heap() {
      const session = await page.createCDPSession();
      await session.send("HeapProfiler.collectGarbage");
      const { usedSize, backingStorageSize } = await session.send("Runtime.getHeapUsage");
      return { used: usedSize, buffers: backingStorageSize };
    },
  };
  const results = [];
  for (const step of steps) {
    const [[kind, value]] = Object.entries(step);
    results.push((await work[kind](value)) ?? null);
  }
  process.stdout.write(JSON.stringify({ version: await browser.version(), ready, error: await page.evaluate("document.body.dataset.error ?? null"), complaints, requests, results }));
} finally {
  await browser.close();
}
