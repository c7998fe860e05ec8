// @ts-check
// Measures the wall as people meet it: how soon a wall of 100,000 posts is there, and how a page and a screen keep
// up while 20 posts a second come and 2,000 others look on. Needs a release build: cargo build --release.

import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { gzipSync } from "node:zlib";

import { Browsers } from "../../e2e/browsers/support/browser.js";
import { Server } from "../../e2e/support/server.js";
import { until } from "../../e2e/support/until.js";

const POSTS = 100_000;
const VISITORS = 2_000;
const RATE = 20;
const SECONDS = 30;
const TOPIC = "walls/lobby";

/** @type {(() => Promise<void>)[]} */
const cleaning = [];
const owner = { after: (/** @type {() => Promise<void>} */ clean) => void cleaning.unshift(clean) };

/** @param {number[]} numbers @param {number} part */
const quantile = (numbers, part) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length * part)] ?? NaN;

/** @param {Server} server */
async function fill(server) {
  for (let batch = 0; batch < POSTS; batch += 5_000) {
    const one = (/** @type {unknown} */ _, /** @type {number} */ i) => ({ topic: TOPIC, data: JSON.stringify({ from: `Guest ${i % 900}`, msg: `Post ${batch + i}: something short that somebody said.` }) });
    await server.batch(Array.from({ length: 5_000 }, one));
  }
}

/** @param {Server} server @param {import("../../e2e/browsers/support/browser.js").Browsers} browsers */
async function opening(server, browsers) {
  const times = [];
  let html = "";
  for (let i = 0; i < 20; i += 1) {
    const began = performance.now();
    html = await (await fetch(server.origin)).text();
    times.push(performance.now() - began);
  }
  console.log(`the page of ${POSTS} posts: ${quantile(times, 0.5).toFixed(1)} ms (median of 20, p95 ${quantile(times, 0.95).toFixed(1)}), ${html.length} bytes, ${gzipSync(html).length} with gzip`);
  const page = await browsers.page(owner, "chromium", "light", "window");
  let weight = 0;
  page.on("response", async (response) => {
    const body = await response.buffer().catch(() => Buffer.alloc(0));
    if (response.url().startsWith("http") && !response.headers()["content-type"]?.includes("event-stream")) weight += gzipSync(body).length;
  });
  await page.goto(server.origin);
  const paint = await until("a paint", () => page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime));
  await wait(1_000);
  console.log(`first contentful paint ${paint.toFixed(0)} ms; the whole page weighs ${(weight / 1024).toFixed(1)} KiB with gzip`);
  await page.close();
}

/** Others who only look on: sockets that read and forget. @param {Server} server */
async function onlookers(server) {
  const { hostname, port } = new URL(server.origin);
  const sockets = Array.from({ length: VISITORS }, async () => {
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    socket.write(`GET /topics/${TOPIC}?as=json HTTP/1.1\r\nHost: ${hostname}\r\nAccept: text/event-stream\r\n\r\n`);
    await once(socket, "data");
    socket.resume();
    return socket;
  });
  return Promise.all(sockets);
}

/** Runs in the page: notes when each post is seen, and what the thread did. */
function watch() {
  const seen = /** @type {number[]} */ ([]);
  const frames = /** @type {number[]} */ ([]);
  let busy = 0;
  let last = performance.now();
  const list = document.querySelector("#posts");
  const look = () => {
    const now = performance.now();
    frames.push(now - last);
    last = now;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  new PerformanceObserver((entries) => {
    for (const entry of entries.getEntries()) busy += entry.duration;
  }).observe({ type: "longtask" });
  const note = (/** @type {MutationRecord[]} */ records) => {
    for (const { addedNodes } of records) {
      for (const node of addedNodes) {
        const text = node instanceof HTMLElement ? node.querySelector(".post-text")?.textContent : "";
        const sent = Number(/^at (\d+)/.exec(text ?? "")?.[1]);
        if (sent) requestAnimationFrame(() => seen.push(Date.now() - sent));
      }
    }
  };
  if (list) new MutationObserver(note).observe(list, { childList: true });
  Object.assign(window, { told: () => ({ seen, frames, busy }) });
}

/** @param {Server} server @param {Browsers} browsers @param {string} path */
async function busy(server, browsers, path) {
  const page = await browsers.page(owner, "chromium", "dark", "window");
  await page.goto(server.origin + path);
  await wait(1_000);
  await page.evaluate(watch);
  const client = await page.createCDPSession();
  await client.send("Performance.enable");
  const script = async () => Number((await client.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration")?.value);
  const before = await script();
  for (let i = 0; i < RATE * SECONDS; i += 1) {
    void server.publish(TOPIC, JSON.stringify({ from: `Guest ${i % 50}`, msg: `at ${Date.now()}: number ${i}` }));
    await wait(1_000 / RATE);
  }
  await wait(1_000);
  const used = (await script()) - before;
  const told = /** @type {{ seen: number[], frames: number[], busy: number }} */ (await page.evaluate("told()"));
  const dropped = told.frames.reduce((sum, ms) => sum + Math.max(0, Math.round(ms / (1_000 / 60)) - 1), 0);
  console.log(`${path}: ${told.seen.length} of ${RATE * SECONDS} posts seen, post to screen p50 ${quantile(told.seen, 0.5)} ms, p95 ${quantile(told.seen, 0.95)} ms; ${dropped} of ${told.frames.length + dropped} frames dropped; main thread ${((100 * used) / (SECONDS + 1)).toFixed(1)} % busy, ${told.busy.toFixed(0)} ms of it in long tasks`);
  await page.close();
}

try {
  const browsers = new Browsers((clean) => owner.after(clean));
  const server = await Server.start(owner, ["--max-address-connections", "5000"]);
  await fill(server);
  await opening(server, browsers);
  const sockets = await onlookers(server);
  console.log(`${await server.subscribers()} look on, ${RATE} posts a second for ${SECONDS} s`);
  await busy(server, browsers, "/");
  await busy(server, browsers, "/walls/lobby/screen");
  for (const socket of sockets) socket.destroy();
} finally {
  for (const clean of cleaning) await clean();
}
