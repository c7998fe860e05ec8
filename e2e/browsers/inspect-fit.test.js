// @ts-check
// Owns that everybody can use the inspector's page, and that what it shows is text and nothing more.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { BROWSERS, Browsers } from "./support/browser.js";
import { assertFine, overflow } from "./support/fine.js";
import { InspectPage } from "./support/inspect.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";
import { Witness } from "./support/witness.js";

/** @typedef {import("./support/browser.js").Scheme} Scheme */

const browsers = new Browsers(after);

/** @type {Scheme[]} */
const SCHEMES = ["light", "dark"];

/** Each sets `pwned` if it is ever taken for more than text. */
const HOSTILE = [
  "<script>pwned = 1</script>",
  "</pre></li></ol></template><script>pwned = 2</script>",
  '<img src=x onerror="pwned = 3">',
  "<style>* { display: none !important }</style>",
  "javascript:pwned=4",
  "{{assets}} ${pwned = 5}",
  '{"__proto__":{"id":"1-1"},"html":"<b onmouseover=pwned=6>x</b>"}',
  "\u202Eeman ruoy ton\u202C \u2066left\u2069",
  "W".repeat(900),
  "eventwall:gap",
];

for (const name of BROWSERS) {
  test(`${name}: hostile words are text`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    const witness = await Witness.watch(page);
    const inspect = await InspectPage.open(page, server);
    const topics = HOSTILE.map((text) => text.replaceAll("/", "÷"));
    const expected = [];
    for (const [i, text] of HOSTILE.entries()) {
      const topic = topics[i] ?? "";
      // The hub keeps these names for itself, and takes none that is longer.
      const event = text.startsWith("eventwall:") ? "e" : text.slice(0, 200);
      const id = await server.publish(topic, text, event);
      expected.push({ kind: "event", id, topic, name: event, text: text.slice(0, 300) });
    }
    await untilEqual(() => inspect.events(), expected);
    await until("all topics", async () => (await inspect.topics()).length === topics.length);
    await page.$$eval("#frames summary", (rows) => rows.forEach((row) => row.click()));
    await until("what is behind all rows", async () => (await page.$$("#frames pre")).length === HOSTILE.length);
    const texts = "pre > *, bdi > *, code > *, dd > :not(svg), #topics a > *";
    assert.deepEqual(await page.$$eval(texts, (inside) => inside.map(({ outerHTML }) => outerHTML)), []);
    for (const width of [320, 1280]) {
      await page.setViewport({ width, height: 800 });
      assert.equal(await overflow(page), 0, `nothing sticks out at ${width} pixels`);
    }
    const hostile = encodeURIComponent(HOSTILE[2] ?? "");
    await page.goto(`${server.origin}/inspect?topic=${hostile}&after=${hostile}`);
    await inspect.untilState("refused");
    assert.equal(await inspect.value("follow-value"), HOSTILE[2]);
    assert.ok(await page.$eval("#publish-send", (button) => button.checkVisibility()), "the page is still there");
    const complaints = await witness.complaints();
    assert.deepEqual(complaints.filter((words) => !/status of 400/.test(words)), []);
    assert.deepEqual(witness.strangers(server.origin), []);
  });

  for (const scheme of SCHEMES) {
    test(`${name}: axe finds nothing wrong in ${scheme} colours`, async (t) => {
      const server = await Server.start(t, ["--max-bytes", "300000"]);
      const inspect = await InspectPage.open(await browsers.page(t, name, scheme), server);
      const dark = await inspect.page.evaluate(() => matchMedia("(prefers-color-scheme: dark)").matches);
      assert.equal(dark, scheme === "dark");
      await assertFine(inspect.page, "empty");

      const early = await server.publish("a", "early");
      for (let i = 0; i < 8; i += 1) {
        await server.publish(`rooms/${i}/${"long".repeat(60)}`, JSON.stringify({ i, x: "x".repeat(60_000) }), "named");
      }
      await server.kill();
      await server.restart();
      await inspect.page.goto(`${server.origin}/inspect?topic=**&after=${early}`);
      await inspect.untilState("live");
      await server.publish("typing", "مرحبا من الصف الأخير");
      await inspect.publish({ topic: "a", data: "psst", ephemeral: true });
      await until("what is not stored", async () => (await inspect.rows()).some(({ kind }) => kind === "ephemeral"));
      await inspect.cut();
      await inspect.resume();
      await until("the topics", async () => (await inspect.topics()).length > 2);
      await inspect.page.$$eval("#frames summary", (rows) => rows.slice(0, 3).forEach((row) => row.click()));
      await inspect.publish({ topic: "" });
      await until("a problem", async () => (await inspect.text("publish-note")).includes("empty"));
      await assertFine(inspect.page, "full");

      await inspect.cut();
      await assertFine(inspect.page, "cut");
      await server.kill();
      await inspect.page.click("#cut");
      await inspect.untilState("reconnecting");
      await assertFine(inspect.page, "without a line");
      await server.restart();
      await inspect.fill("follow-topics", "**/a");
      await inspect.page.click("#follow button");
      await inspect.untilState("refused");
      await assertFine(inspect.page, "refused");
    });
  }

  test(`${name}: the keyboard is enough to cut, resume and publish`, async (t) => {
    const server = await Server.start(t);
    const inspect = await InspectPage.open(await browsers.page(t, name), server);
    const { keyboard } = inspect.page;
    const focused = () => inspect.page.evaluate(() => document.activeElement?.id ?? "");
    /** @param {string} id */
    const tabTo = async (id) => {
      for (let steps = 0; (await focused()) !== id; steps += 1) {
        assert.ok(steps < 40, `Tab gets to ${id}`);
        await keyboard.press("Tab");
      }
    };
    await tabTo("cut");
    await keyboard.press("Enter");
    await inspect.untilState("cut");
    assert.equal(await focused(), "cut", "the same key resumes");
    await keyboard.press("Enter");
    await inspect.untilState("live");
    await tabTo("publish-topic");
    await keyboard.type("typed");
    await tabTo("publish-data");
    await keyboard.type("by hand");
    await keyboard.down("Control");
    await keyboard.press("Enter");
    await keyboard.up("Control");
    await inspect.untilTexts(["by hand"]);
  });
}
