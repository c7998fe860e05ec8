// @ts-check
// Owns the promises of the inspector's page about what it shows: all that a stream brings, whatever
// its topics and events are called, once and bounded; and about publishing by hand.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { BROWSERS, Browsers } from "./support/browser.js";
import { InspectPage } from "./support/inspect.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";

const browsers = new Browsers(after);
const NAMES = [undefined, "failed", "open", "error", "close", "constructor", "__proto__", "name with spaces", "名前", "a:b", "{}"];
const TOPICS = ["a", "rooms/1/door", "a topic with spaces", "100%", "?&=#+", "constructor", "ö/😀"];

for (const name of BROWSERS) {
  test(`${name}: everything is followed, whatever the events and topics are called`, async (t) => {
    const server = await Server.start(t);
    const inspect = await InspectPage.open(await browsers.page(t, name), server);
    assert.equal(await inspect.value("follow-topics"), "**");
    const expected = [];
    for (const [i, topic] of TOPICS.entries()) {
      for (const event of NAMES) {
        const text = `${i} ${event}\nline two`;
        const id = await server.publish(topic, text, event);
        expected.push({ kind: "event", id, topic, name: event ?? "message", text });
      }
    }
    await untilEqual(() => inspect.events(), expected);
    await untilEqual(() => inspect.text("cursor"), expected.at(-1)?.id ?? "");
    await untilEqual(() => inspect.text("total"), String(expected.length));
    const sorted = [...TOPICS].sort().map((topic) => [topic, String(NAMES.length)]);
    await untilEqual(() => inspect.topics(), sorted);
    await until("a rate", async () => (await inspect.text("rate-bytes")) !== "0 B");
    assert.match(await inspect.text("heard"), /^\d+ s ago$/);
    await untilEqual(() => inspect.text("ready"), "ready");
    await until("how many follow", async () => (await inspect.text("subscribers")) === "1");
  });

  test(`${name}: what is followed stands in the address, and is chosen in the form`, async (t) => {
    const server = await Server.start(t);
    for (let i = 0; i < 5; i += 1) await server.publish("rooms/a b", `spaced ${i}`);
    await server.publish("other", "other");
    const inspect = await InspectPage.open(await browsers.page(t, name), server, "?topic=rooms/*&topic=50%25&last=2");
    await inspect.untilTexts(["spaced 3", "spaced 4"]);
    assert.equal(await inspect.value("follow-topics"), "rooms/* 50%25");
    assert.equal(await inspect.value("follow-value"), "2");

    await inspect.fill("follow-topics", "other  rooms/a%20b");
    await inspect.fill("follow-value", "1");
    await inspect.page.click("#follow button");
    await inspect.untilTexts(["spaced 4", "other"]);
    assert.equal(new URL(inspect.page.url()).search, "?topic=other&topic=rooms/a+b&last=1");
    await inspect.page.reload();
    await inspect.untilTexts(["spaced 4", "other"]);
    await inspect.page.goBack();
    await inspect.untilTexts(["spaced 3", "spaced 4"]);

    const [first] = await server.logged("rooms/a b");
    await inspect.page.select("#follow-start", "after");
    await inspect.fill("follow-value", first?.id ?? "");
    await inspect.page.click("#follow button");
    await inspect.untilTexts(["spaced 1", "spaced 2", "spaced 3", "spaced 4"]);

    await inspect.page.select("#follow-start", "since");
    assert.equal(await inspect.value("follow-value"), "10m");
    await inspect.fill("follow-topics", "**/x");
    await inspect.page.click("#follow button");
    await inspect.untilState("refused");
    assert.match(await inspect.text("follow-note"), /last segment of a pattern/);
    await inspect.fill("follow-topics", "");
    await inspect.page.click("#follow button");
    await until("all six", async () => (await inspect.texts()).length === 6);
    assert.equal(await inspect.text("follow-note"), "");

    await until("a link to one topic", async () => (await inspect.topics()).length === 2);
    await Promise.all([inspect.page.waitForNavigation(), inspect.page.click("#topics a")]);
    await inspect.untilTexts(["other"]);
  });

  test(`${name}: an event is published by hand, and the answer is shown`, async (t) => {
    const server = await Server.start(t, ["--max-body", "1000"]);
    const inspect = await InspectPage.open(await browsers.page(t, name), server);
    await inspect.publish({ topic: "100% a/b", event: "häppened", data: "one\ntwo" });
    await until("an answer", async () => (await inspect.text("publish-note")) !== "");
    const [logged] = await server.logged("100% a/b");
    assert.equal(await inspect.text("publish-note"), `Stored as ${logged?.id}`);
    await untilEqual(() => inspect.events(), [
      { kind: "event", id: logged?.id ?? "", topic: "100% a/b", name: "häppened", text: "one\ntwo" },
    ]);
    for (const [draft, words] of /** @type {const} */ ([
      [{ topic: "", data: "x" }, /the topic is empty/],
      [{ topic: "a//b", data: "x" }, /empty segment/],
      [{ topic: "a", event: "eventwall:gap", data: "x" }, /eventwall:/],
      [{ topic: "$a", data: "x" }, /begin with \$/],
      [{ topic: "a", data: "x".repeat(1001) }, /larger than/],
    ])) {
      await inspect.publish(draft);
      await until(`a problem: ${words}`, async () => words.test(await inspect.text("publish-note")));
    }
    await inspect.publish({ topic: "typing", event: "typing", data: "psst", ephemeral: true });
    await until("an event that was not stored", async () => {
      const rows = await inspect.rows();
      return rows.some(({ kind, topic, text, id }) => kind === "ephemeral" && topic === "typing" && text === "psst" && id === "");
    });
    assert.deepEqual(await inspect.texts(), ["one\ntwo"]);
  });

  test(`${name}: a burst leaves a bounded list, and none of it uncounted`, async (t) => {
    const server = await Server.start(t);
    const inspect = await InspectPage.open(await browsers.page(t, name), server);
    const burst = Array.from({ length: 5000 }, (_, i) => ({ topic: `burst/${i % 200}`, data: `event ${i}` }));
    const ids = await server.batch(burst);
    await untilEqual(() => inspect.text("total"), "5,000");
    await until("the last event", async () => (await inspect.texts()).at(-1) === "event 4999");
    const rows = await inspect.rows();
    assert.equal(rows.length, 500);
    assert.deepEqual(rows.map(({ id }) => id), ids.slice(-500));
    assert.match(await inspect.text("frames-note"), /^500 shown, 4,50\d older ones let go$/);
    await until("the topics", async () => (await inspect.topics()).length === 100);
    assert.match(await inspect.text("topics-note"), /^The 100 that spoke last, of 200\.$/);

    await inspect.page.click("#pause");
    await server.batch(burst.map(({ topic }, i) => ({ topic, data: `held ${i}` })));
    await untilEqual(() => inspect.text("pause"), "Go on (5,000 new)");
    assert.equal((await inspect.texts()).at(-1), "event 4999", "nothing moves while it is paused");
    await inspect.page.click("#pause");
    await until("what was held", async () => (await inspect.texts()).at(-1) === "held 4999");
    assert.equal((await inspect.rows()).length, 500);
    assert.equal(await inspect.text("pause"), "Pause");
    await inspect.page.click("#clear");
    await untilEqual(() => inspect.rows(), []);
  });

  test(`${name}: rows are filtered, and opened to see all of an event`, async (t) => {
    const server = await Server.start(t);
    const inspect = await InspectPage.open(await browsers.page(t, name), server);
    const json = '{"n":12345678901234567890,"n":[1,{}],"text":"a \\"b\\", {c}"}';
    const id = await server.publish("json", json, "made");
    await server.publish("large", "x".repeat(100_000));
    await server.publish("other", "NEEDLE in it");
    await until("all rows", async () => (await inspect.texts()).length === 3);
    await inspect.fill("filter", "needle");
    assert.deepEqual(await inspect.shown(), ["NEEDLE in it"]);
    await server.publish("needle/2", "another");
    await server.publish("hay", "straw");
    await untilEqual(() => inspect.shown(), ["NEEDLE in it", "another"]);
    await until("how many are shown", async () => /^2 of \d+ shown$/.test(await inspect.text("frames-note")));
    await inspect.fill("filter", id);
    assert.deepEqual(await inspect.shown(), [json]);
    await inspect.unfold(json);
    const pre = () => inspect.page.$eval("#frames details[open] pre", ({ textContent }) => textContent);
    assert.equal(await pre(), '{\n  "n": 12345678901234567890,\n  "n": [\n    1,\n    {}\n  ],\n  "text": "a \\"b\\", {c}"\n}');
    assert.equal(await inspect.page.$eval(".behind-length", ({ textContent }) => textContent), `${json.length} characters`);
    await inspect.page.click("#frames details[open] summary");
    await inspect.fill("filter", "large");
    await inspect.unfold("x".repeat(300));
    assert.equal((await pre())?.length, 16_384);
  });
}
