// @ts-check
// Owns that everybody can use the page: what axe finds, what fits on a phone, and that the page
// tells nobody else that it is read.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { BROWSERS, Browsers } from "./support/browser.js";
import { assertFine, violations } from "./support/fine.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";
import { WallPage } from "./support/wall.js";
import { Witness } from "./support/witness.js";

/** @typedef {import("./support/browser.js").Scheme} Scheme */

const browsers = new Browsers(after);

/** @type {Scheme[]} */
const SCHEMES = ["light", "dark"];

/** @param {Server} server */
async function fill(server) {
  await server.publish("walls/lobby", '{"from":"Front desk","msg":"Doors are open.","location":"Foyer"}');
  await server.publish("walls/lobby", '{"from":"Row two","place":"Hall A, second row"}', "checkin");
  await server.publish("walls/lobby", '{"from":"Seat 14","through":"the kitchen","msg":"Lunch!"}', "forward");
  await server.publish("walls/lobby", '{"from":"Stage crew","msg":"Bring the long cable."}', "direct");
  await server.publish("walls/lobby", "مرحبا من الصف الأخير");
  await server.publish("walls/lobby", "M".repeat(300));
  for (let i = 0; i < 60; i += 1) await server.publish("walls/lobby", `Post ${i}`);
}

for (const name of BROWSERS) {
  for (const scheme of SCHEMES) {
    test(`${name}: axe finds nothing wrong in ${scheme} colours`, async (t) => {
      const server = await Server.start(t);
      const wall = await WallPage.open(await browsers.page(t, name, scheme), server);
      const dark = await wall.page.evaluate(() => matchMedia("(prefers-color-scheme: dark)").matches);
      assert.equal(dark, scheme === "dark");
      await wall.untilVisible("#empty");
      await assertFine(wall.page, "empty");

      await wall.page.click("#send");
      await wall.untilVisible("#msg-error");
      await wall.fill("location", "l".repeat(201));
      await assertFine(wall.page, "with a complaint");

      await fill(server);
      await until("the posts", async () => (await wall.posts()).length === 66);
      await wall.fill("location", "");
      await wall.post({ kind: "checkin", place: "The sunny bench" });
      await wall.post({ kind: "forward", through: "somebody", msg: "by hand" });
      await assertFine(wall.page, "full");

      await wall.page.evaluate(() => scrollTo(0, 2000));
      await server.publish("walls/lobby", "one more");
      await wall.untilVisible("#new-posts");
      await assertFine(wall.page, "with new posts waiting");

      await server.kill();
      await wall.untilState("reconnecting");
      await assertFine(wall.page, "without a line");
    });
  }

  test(`${name}: axe does find what is wrong`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    await wall.page.evaluate(() => {
      document.querySelector("label[for=msg]")?.remove();
      document.querySelector("#msg")?.removeAttribute("placeholder");
    });
    assert.match((await violations(wall.page)).join("\n"), /label/);
  });

  test(`${name}: posts are a feed with names, and the line's state is spoken`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    await server.publish("walls/lobby", '{"from":"Row 2","msg":"hello"}');
    await wall.untilTexts(["hello"]);
    const feed = await wall.page.$eval("#posts", (list) => [list.getAttribute("role"), list.getAttribute("aria-busy")]);
    assert.deepEqual(feed, ["feed", "false"]);
    const called = await wall.page.$eval(".post", (post) => {
      const words = (/** @type {string} */ attribute) =>
        (post.getAttribute(attribute) ?? "").split(" ").map((id) => document.getElementById(id)?.textContent);
      return [words("aria-labelledby"), words("aria-describedby")];
    });
    assert.deepEqual(called, [["Status", "Row 2"], ["hello"]]);
    await untilEqual(() => wall.text("#announcer"), "1 new post");
    assert.equal(await wall.page.$eval("#connection", (element) => element.getAttribute("role")), "status");
  });

  test(`${name}: using the page asks nothing of any other host`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    const witness = await Witness.watch(page);
    const wall = await WallPage.open(page, server);
    await wall.untilVisible("#empty");
    await wall.page.click("#copy-curl");
    await fill(server);
    await until("the posts", async () => (await wall.posts()).length === 66);
    await wall.post({ msg: "see http://127.0.0.1:9/ and //127.0.0.1:9/x.png" });
    await wall.page.reload();
    await until("all posts, as one scrolls", async () => {
      await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
      return (await wall.posts()).length === 67;
    });
    assert.deepEqual(witness.strangers(server.origin), []);
    assert.ok(witness.requests.length > 40, "requests were recorded");
    assert.deepEqual(await witness.complaints(), []);
    const links = await page.$$eval("#posts .post a", (links) => links.map((link) => link.href));
    assert.deepEqual(links, ["http://127.0.0.1:9/"], "an address is a link for who presses it, and no more");
  });
}
