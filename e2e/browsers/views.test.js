// @ts-check
// Owns the other views of a wall in both browsers: the page before any script, the screen, the wall in another
// page, the poster; and that each of them suits everybody.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";

import { listen } from "../support/listening.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";
import { BROWSERS, Browsers } from "./support/browser.js";
import { violations } from "./support/fine.js";
import { WallPage } from "./support/wall.js";

/** @typedef {import("puppeteer-core").Page} Page */

const browsers = new Browsers(after);
const TOPIC = "walls/lobby";
/** @type {[string, string?][]} data and names of events of every kind and shape */
const POSTS = [
  ['{"from":"Row 2","msg":"two\\nlines & <b>no</b> markup","location":"Hall \\"2\\""}'],
  ['{"from":"Ben 🦊","place":"Café on the corner"}', "checkin"],
  ['{"from":"Žofie O\'Neil","through":"the desk","msg":"see https://example.org/a?b=c&d. And `code`"}', "forward"],
  ['{"from":"x","msg":"before\\n```\\nlet a = 1;\\n```\\nafter"}', "direct"],
  ["plain words"],
  ['{"from":"A","msg":"🎉🎉"}'],
  ['{"from":"שירה","msg":"שלום"}'],
];

/** @param {Server} server */
async function fill(server) {
  for (const [data, event] of POSTS) await server.publish(TOPIC, data, event);
}

/** Somebody who posts and changes posts. @param {Server} server */
async function visitor({ origin }) {
  const cookie = (await fetch(origin)).headers.get("set-cookie")?.split(";")[0] ?? "";
  const headers = { "Content-Type": "application/json", Cookie: cookie };
  /** @param {string} method @param {string} path @param {string} msg */
  const send = async (method, path, msg) => {
    const body = JSON.stringify({ kind: "status", msg });
    const answer = await fetch(`${origin}/walls/lobby/posts${path}`, { method, headers, body });
    assert.equal(answer.status, 201, await answer.clone().text());
    return (await answer.json()).id;
  };
  return {
    /** @param {string} msg @returns {Promise<string>} its id */
    post: (msg) => send("POST", "", msg),
    /** @param {string} id @param {string} msg */
    change: (id, msg) => send("PUT", `/${id}`, msg),
  };
}

/**
 * The posts as markup, without what only time or a reader changes.
 * @param {Page} page
 */
function markup(page) {
  return page.$$eval("#posts > .post", (cards) =>
    cards.map((card) => {
      const copy = /** @type {HTMLElement} */ (card.cloneNode(true));
      copy.classList.remove("fresh");
      copy.removeAttribute("tabindex");
      copy.querySelector(".post-tools")?.remove();
      const time = copy.querySelector("time");
      time?.removeAttribute("title");
      time?.replaceChildren();
      return copy.outerHTML.replace(/\s*\n\s*/g, "");
    }),
  );
}

for (const name of BROWSERS) {
  test(`${name}: the server makes the same of a post as the page does`, async (t) => {
    const server = await Server.start(t);
    const live = await WallPage.open(await browsers.page(t, name), server);
    await fill(server);
    await until("all posts", async () => (await live.posts()).length === POSTS.length);
    const bare = await browsers.page(t, name);
    await bare.setRequestInterception(true);
    bare.on("request", (request) => void (request.url().endsWith(".js") ? request.abort() : request.continue()));
    await bare.goto(server.origin);
    const made = await markup(bare);
    assert.equal(made.length, POSTS.length);
    assert.deepEqual(made, await markup(live.page));
  });

  test(`${name}: the screen shows what comes, one after the other, and counts what it cannot show`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name, "dark", "window");
    await page.setViewport({ width: 1280, height: 720 });
    await page.goto(`${server.origin}/walls/lobby/screen`);
    const newest = () => page.$eval("#posts", (list) => list.querySelector(".post-text")?.textContent ?? "");
    const visible = (/** @type {string} */ selector) => page.$eval(selector, (element) => element.checkVisibility());
    assert.ok(await visible("#nothing"));
    assert.deepEqual(await violations(page), []);
    await until("it to be live", async () => (await server.subscribers()) === 1);
    await server.publish(TOPIC, "the first");
    await untilEqual(newest, "the first");
    assert.ok(!(await visible("#nothing")));
    assert.match(await page.$eval("#clock", (clock) => clock.textContent ?? ""), /^\d\d:\d\d$/);
    await page.waitForSelector("svg.code");

    await server.batch(Array.from({ length: 100 }, (_, i) => ({ topic: TOPIC, data: `burst ${i}` })));
    await until("a word of the others", () => visible("#more"));
    assert.match(await page.$eval("#more", (more) => more.textContent ?? ""), /^and \d\d more just now$/);
    await untilEqual(newest, "burst 99");
    await untilEqual(() => page.$eval("#counts", (counts) => counts.textContent), "101 posts");
    assert.ok((await page.$$("#posts > .post")).length <= 24);
    await until("animations to end", () => page.evaluate(() => document.getAnimations().length === 0));
    assert.deepEqual(await violations(page), []);

    await server.kill();
    await until("the quiet mark", () => visible("#quiet"));
    assert.equal(await newest(), "burst 99");
    await server.restart();
    await server.publish(TOPIC, "back");
    await untilEqual(newest, "back");
    await until("no mark", async () => !(await visible("#quiet")));
  });

  test(`${name}: the wall is a part of a page of another site, and live there`, async (t) => {
    const server = await Server.start(t);
    await fill(server);
    const site = createServer((_, response) =>
      response.setHeader("Content-Type", "text/html").end(`<!doctype html><html lang="en"><title>x</title><main><h1>A page</h1><iframe src="${server.origin}/walls/lobby/embed" title="w" width="420" height="600"></iframe></main></html>`),
    );
    const origin = await listen(site);
    t.after(() => site.closeAllConnections());
    t.after(() => void site.close());
    const page = await browsers.page(t, name, "light", "window");
    await page.goto(origin);
    const frame = await until("the frame", async () => page.frames().find((one) => one.url().endsWith("/embed")));
    const texts = () => frame.$$eval("#posts .post", (cards) => cards.map((card) => card.querySelector(".post-text, .post-place")?.textContent));
    await untilEqual(async () => (await texts()).length, POSTS.length);
    await until("it to be live", async () => (await server.subscribers()) === 1);
    await server.publish(TOPIC, "over there");
    await untilEqual(async () => (await texts())[0], "over there");
    assert.deepEqual(await violations(page), []);
    // The wall itself, where things can be pressed, is no part of others.
    const wall = await fetch(server.origin);
    assert.match(wall.headers.get("content-security-policy") ?? "", /frame-ancestors 'none'/);
  });

  test(`${name}: whoever looks can hold a wall still, and lets it go on`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    const author = await visitor(server);
    const texts = () => page.$$eval("#posts .post-text", (all) => all.map((text) => text.textContent ?? ""));
    for (const view of ["", "/screen", "/embed"]) {
      const [first, last] = [await server.publish(TOPIC, `first${view}`), `last${view}`];
      await server.publish(TOPIC, last);
      await page.goto(`${server.origin}/walls/lobby${view}`);
      await until("the posts", async () => (await texts()).includes(last) && (await page.$("#hold:not([hidden])")));
      // The button stands beside words that change until then, and would be missed.
      await until("a line", async () => !(await page.$("#connection:not([data-state=live])")));
      await page.click("#hold");
      assert.ok(await page.$('#hold[aria-pressed="true"]'), `${view} is pressed`);
      assert.deepEqual(await violations(page), [], view);
      const [one, two] = [await author.post("one"), await author.post("two")];
      await author.post("three");
      await author.change(one, "ONE");
      // What is taken away goes at once, and after what came before it.
      for (const id of [two, first]) await fetch(`${server.origin}/events/${id}`, { method: "DELETE" });
      await until("the first to go", async () => !(await texts()).includes(`first${view}`));
      const held = await texts();
      assert.equal(held[0], last, `${view} is held`);
      await page.click("#hold");
      await untilEqual(texts, ["three", "ONE", ...held], view);
    }
    await page.click("#hold");
    await server.kill();
    await server.forget();
    await server.restart();
    await server.publish(TOPIC, "of another log");
    await until("the line to be back", async () => (await server.subscribers()) === 1);
    assert.ok((await texts()).length > 1, "what is lost does not end the hold");
    await Promise.all([page.waitForNavigation(), page.click("#hold")]);
    await untilEqual(texts, ["of another log"]);
    const wall = await WallPage.open(page, server);
    await page.click("#hold");
    await server.publish(TOPIC, "of others");
    await untilEqual(() => wall.text("#new-posts"), "1 new post");
    await wall.post({ msg: "mine" });
    await untilEqual(async () => (await texts()).slice(0, 2), ["mine", "of others"], "who writes sees that it has come");
  });

  test(`${name}: where there is no wall is a way to one`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    const answer = await page.goto(`${server.origin}/wals/lobby`);
    assert.equal(answer?.status(), 404);
    await page.click("summary");
    assert.deepEqual(await violations(page), []);
    assert.match(await page.$eval("details p", (detail) => detail.textContent ?? ""), /there is nothing at \/wals\/lobby/);
    await Promise.all([page.waitForNavigation(), page.click("a")]);
    await new WallPage(page).untilState("live");
  });

  test(`${name}: the poster and the menu suit everybody`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    await page.goto(`${server.origin}/walls/S%C3%B8r%20hall/poster`);
    assert.deepEqual(await violations(page), []);
    assert.match(await page.$eval(".address", (address) => address.textContent ?? ""), /\/walls\/S%C3%B8r%20hall$/);
    await WallPage.open(page, server);
    await page.click(".share summary");
    assert.deepEqual(await violations(page), []);
    const line = await page.$eval("#embed-line", (line) => line.textContent ?? "");
    const [, address = ""] = /^<iframe src="([^"]+)"/.exec(line) ?? [];
    assert.equal((await fetch(address)).status, 200, `what is copied leads somewhere: ${line}`);
  });
}
