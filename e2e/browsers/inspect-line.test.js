// @ts-check
// Owns the promises of the inspector's page about its line: cut by hand or broken, it goes on where
// it was left, and says what that brought: what was missed, once, or a gap.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { BROWSERS, Browsers } from "./support/browser.js";
import { InspectPage } from "./support/inspect.js";
import { Server } from "../support/server.js";
import { until } from "../support/until.js";

const browsers = new Browsers(after);

for (const name of BROWSERS) {
  test(`${name}: a line that is cut misses nothing, and resuming brings exactly that`, async (t) => {
    const server = await Server.start(t);
    const inspect = await InspectPage.open(await browsers.page(t, name), server);
    const before = await server.publish("a", "before", "x");
    await inspect.untilTexts(["before"]);
    await inspect.cut();
    assert.equal(await inspect.text("cut"), `Resume after ${before}`);
    const missed = await server.batch(["b", "a", "c"].map((topic, i) => ({ topic, data: `missed ${i + 1}`, event: topic })));
    assert.deepEqual(await inspect.texts(), ["before"], "a cut line brings nothing");
    await inspect.resume();
    await inspect.untilTexts(["before", "missed 1", "missed 2", "missed 3"]);
    assert.deepEqual((await inspect.events()).map(({ id }) => id), [before, ...missed]);
    const [cut] = await inspect.breaks();
    assert.equal(cut?.why, "cut by hand");
    assert.equal(cut?.left, before);
    assert.equal(cut?.came, `3 events: ${missed[0]} to ${missed[2]}, each once`);
    assert.equal(cut?.gap, "none");

    await inspect.cut();
    await inspect.resume();
    const [again] = await inspect.breaks();
    assert.equal(again?.came, "nothing, for nothing was missed");
    assert.equal(again?.left, missed[2]);
    await server.publish("a", "live again");
    await inspect.untilTexts(["before", "missed 1", "missed 2", "missed 3", "live again"]);
  });

  test(`${name}: a server that is killed is found again, with what it had taken`, async (t) => {
    const server = await Server.start(t);
    const inspect = await InspectPage.open(await browsers.page(t, name), server);
    const texts = ["0"];
    const ids = [await server.publish("a", "0")];
    await inspect.untilTexts(texts);
    for (const signal of /** @type {const} */ (["SIGKILL", "SIGTERM"])) {
      await server.kill(signal);
      await inspect.untilState("reconnecting");
      await server.restart();
      for (let i = 0; i < 3; i += 1) {
        texts.push(`${signal} ${i}`);
        ids.push(await server.publish("a", `${signal} ${i}`));
      }
      await inspect.untilState("live");
      await inspect.untilTexts(texts);
      await until("the account of the break", async () => (await inspect.breaks())[0]?.gap === "none");
      const [broke] = await inspect.breaks();
      assert.equal(broke?.left, ids.at(-4));
      assert.match(broke?.why ?? "", signal === "SIGKILL" ? /the line broke/ : /the server ended the stream/);
      assert.match(broke?.back ?? "", /^\d\d:\d\d:\d\d\.\d{3}, after /);
      // Events published once it was back were not missed.
      assert.match(broke?.came ?? "", /, each once$|nothing was missed$/);
    }
    assert.deepEqual((await inspect.events()).map(({ id }) => id), ids);
    assert.equal((await inspect.breaks()).length, 2);
  });

  test(`${name}: events that are gone are told as a gap`, async (t) => {
    const server = await Server.start(t, ["--max-bytes", "300000"]);
    const inspect = await InspectPage.open(await browsers.page(t, name), server);
    const early = await server.publish("a", "early");
    await inspect.untilTexts(["early"]);
    await inspect.cut();
    for (let i = 0; i < 10; i += 1) await server.publish("a", `${i} ${"x".repeat(60_000)}`);
    // Past its memory, so that it is the log that answers.
    await server.kill();
    await server.restart();
    await inspect.resume();
    const gap = (await inspect.rows()).find(({ kind }) => kind === "gap");
    assert.match(gap?.text ?? "", new RegExp(`After ${early}, resumed at ${gap?.id}. Reason: expired`));
    const color = await inspect.page.$eval('.row[data-kind="gap"]', (row) => getComputedStyle(row).backgroundColor);
    assert.notEqual(color, "rgba(0, 0, 0, 0)", "a gap is loud");
    const [broke] = await inspect.breaks();
    assert.equal(broke?.gap, `expired: after ${early}, resumed at ${gap?.id}`);
    const events = await inspect.events();
    assert.ok(events.length > 1 && events.length < 11, `${events.length} events`);
    assert.ok(events.at(-1)?.text.startsWith("9 xxx"));
    assert.match(broke?.came ?? "", /each once$/);

    await inspect.page.goto(`${server.origin}/inspect?topic=a&after=foreign-7`);
    await until("another gap", async () => (await inspect.rows()).some(({ text }) => /foreign-7.*replaced/.test(text)));
  });
}
