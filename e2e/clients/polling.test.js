// @ts-check
// Owns what becomes of a client that polls when the answers are none: it hammers nobody, and finds its way back.

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import { Eventwall } from "../../web/client/eventwall.js";
import { Misbehaving } from "../support/misbehaving.js";
import { until } from "../support/until.js";

/** @typedef {import("../support/misbehaving.js").Answer} Answer */

/** @type {Answer} */
const MUTE = { then: "hold" };
const QUICK = { mute: 300, poll: 1, climb: 400 };
const LONGEST = { ...QUICK, climb: 3_600_000 };

/**
 * @param {import("node:test").TestContext} t
 * @param {Answer[]} answers
 * @param {import("../../web/client/eventwall.js").Options} options
 */
async function follow(t, answers, options) {
  const server = await Misbehaving.start(t, answers);
  const source = new Eventwall(`${server.origin}/stream`, options);
  t.after(() => source.close());
  return { server, source };
}

describe("polling", { concurrency: 8 }, () => {
  test("a hub that is full is left alone for as long as it likes", async (t) => {
    const { server, source } = await follow(t, [MUTE, { body: "retry: 4000\n\n" }], LONGEST);
    await once(source, "error");
    assert.equal(source.polling, true);
    assert.ok(Number(source.nextTry) - Date.now() > 3_500);
    assert.equal(server.asked.length, 2);
  });

  test("a complete answer is no stream that gets through", async (t) => {
    const { server, source } = await follow(t, [MUTE, MUTE, { body: "retry: 300\n\ndata: a\n\n" }], { ...QUICK, poll: 3 });
    await until("some climbs in vain", () => server.asked.filter(({ path }) => !path.includes("wait")).length >= 3);
    assert.equal(source.polling, true);
  });

  test("what was held back while it found out is asked for", async (t) => {
    const { server } = await follow(t, [MUTE, { body: "id: 1\ndata: a\n\n" }], LONGEST);
    await until("a second poll", () => server.asked.length >= 3);
    const queries = server.asked.map(({ path }) => path.replace(/since=[2-9]s/, "since=some seconds"));
    assert.deepEqual(queries.slice(0, 3), ["/stream", "/stream?wait=1&since=some seconds", "/stream?wait=1"]);
  });

  test("a redirect of a poll is no poll for ever", async (t) => {
    const answers = [MUTE, { status: 307, redirect: "/stream/there?wait=1" }, { body: "id: 1\ndata: a\n\n" }, { body: ": hello\n\n", then: "hold" }];
    const { server, source } = await follow(t, /** @type {Answer[]} */ (answers), QUICK);
    await until("it to follow a stream again", () => source.polling === false && server.asked.length > 4);
    assert.equal(server.asked.at(-1)?.path, "/stream/there");
  });

  test("a token that takes long is nothing that the network holds back", async (t) => {
    const server = await Misbehaving.start(t, [{ body: "retry: 200\n\ndata: a\n\n", then: "hold" }]);
    const token = async () => {
      await wait(2_500);
      return "late";
    };
    const source = new Eventwall(`${server.origin}/stream`, { ...QUICK, token });
    t.after(() => source.close());
    await once(source, "open");
    assert.equal(source.polling, false);
    assert.deepEqual(server.asked.map(({ path }) => path), ["/stream"]);
  });

  test("a token that always takes long hides no stream that is held back", async (t) => {
    const server = await Misbehaving.start(t, [MUTE, { body: "id: 1\ndata: a\n\n" }]);
    const token = async () => {
      await wait(1_200);
      return "late";
    };
    const source = new Eventwall(`${server.origin}/stream`, { ...LONGEST, token });
    t.after(() => source.close());
    await once(source, "message");
    assert.equal(source.polling, true);
    assert.equal(server.asked.length, 2);
  });

  test("a line that lived and fell silent is taken up as a stream", async (t) => {
    /** @type {Answer} */
    const alive = { body: "retry: 200\n\n", headers: { "Content-Type": "text/event-stream" }, then: "drip" };
    const { server, source } = await follow(t, [alive], { ...QUICK, watchdog: 800 });
    await until("three lines", () => server.asked.length >= 3);
    assert.equal(source.polling, false);
  });

  test("nothing is asked for once it is closed", async (t) => {
    const { server, source } = await follow(t, [MUTE], QUICK);
    await until("a climb", () => server.asked.length >= 3);
    source.close();
    await until("every request to be over", () => server.open === 0);
  });
});
