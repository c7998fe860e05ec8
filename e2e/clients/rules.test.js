// @ts-check
// Owns that the browser client's module keeps every rule in Node, too.

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import { EventSource } from "../../web/client/eventsource.js";
import { Misbehaving } from "../support/misbehaving.js";
import { judge } from "../support/ruled.js";
import { RULES } from "../support/rules.js";
import { telling } from "../support/telling.js";
import { until } from "../support/until.js";

describe("the rules of event streams, in Node", { concurrency: 8 }, () => {
  for (const rule of RULES) {
    test(`${rule.rule}: ${rule.title}`, (t) =>
      judge(t, rule, async (server) => telling(EventSource, `${server.origin}/stream`, rule.options)));
  }

  test("B4: a token is asked for before each request, and one that fails is asked for again", async (t) => {
    const server = await Misbehaving.start(t, [{ body: "retry: 200\n\ndata: a\n\n" }, { body: "data: last\n\n", then: "hold" }]);
    const tokens = [Promise.reject(new Error("no token yet")), Promise.resolve("one"), Promise.resolve("two")];
    tokens[0]?.catch(() => {});
    const source = new EventSource(`${server.origin}/stream`, { token: () => tokens.shift() ?? "late" });
    await until("two requests", () => server.asked.length === 2);
    source.close();
    assert.deepEqual(server.asked.map(({ headers }) => headers.authorization), ["Bearer one", "Bearer two"]);
  });

  test("B2: what fails is tried again ever more seldom, and no two clients at once", async () => {
    const waits = [[], [], []].map(() => /** @type {number[]} */ ([]));
    for (let client = 0; client < 40; client += 1) {
      const fetch = () => Promise.reject(new TypeError("refused"));
      const source = new EventSource("http://127.0.0.1:1/", { fetch });
      for (const of of waits) {
        await once(source, "error");
        of.push(Number(source.nextTry) - Date.now());
        source.restart();
      }
      source.close();
    }
    const means = waits.map((of) => of.reduce((sum, ms) => sum + ms, 0) / of.length);
    // 3 s, and up to so much more, twice and four times that.
    for (const [n, of] of waits.entries()) {
      const most = 3_000 + 3_000 * 2 ** n;
      assert.ok(of.every((ms) => ms >= 2_900 && ms <= most), `${n}: ${of}`);
    }
    assert.ok(Number(means[2]) > Number(means[0]) && new Set(waits[0]).size > 30, `${means}`);
  });

  test("T4, B2: a retry of 0 makes no loop of what fails, however often", async (t) => {
    const server = await Misbehaving.start(t, [{ body: "retry: 0\n\ndata: a\n\n" }]);
    let fetch = globalThis.fetch;
    const source = new EventSource(`${server.origin}/stream`, { fetch: (...request) => fetch(...request) });
    await once(source, "message");
    fetch = () => Promise.reject(new TypeError("refused"));
    for (let failures = 0; failures < 1_100; failures += 1) {
      await once(source, "error");
      assert.ok(Number(source.nextTry) - Date.now() >= 150, `${failures}: ${source.nextTry}`);
      source.restart();
    }
    source.close();
  });

  test("B7: a page can show its state, when it tries again and why", async (t) => {
    const server = await Misbehaving.start(t, [{ body: "retry: 200\n\ndata: a\n\n" }, { status: 410 }]);
    const source = new EventSource(`${server.origin}/stream`);
    /** @type {string[]} */
    const states = [];
    source.addEventListener("state", () => states.push(`${source.state}${source.nextTry ? ", tries again" : ""} ${source.reason}`));
    await until("the end", () => source.readyState === 2);
    assert.deepEqual(states, ["live ", "connecting, tries again the stream ended", "closed it was answered 410"]);
  });

  test("B7: who is closed while it waits has no next try", async () => {
    const source = new EventSource("http://127.0.0.1:1/", { fetch: () => Promise.reject(new TypeError("refused")) });
    await once(source, "error");
    const closed = once(source, "state");
    source.close();
    await closed;
    assert.deepEqual([source.state, source.nextTry], ["closed", undefined]);
  });

  test("S3: nothing is asked for once it is closed, though it waits for its next try", async (t) => {
    const server = await Misbehaving.start(t, [{ body: "retry: 400\n\ndata: a\n\n" }]);
    const source = new EventSource(`${server.origin}/stream`);
    await once(source, "error");
    source.close();
    await wait(800);
    assert.equal(server.asked.length, 1);
  });

  test("B7: the reason has the words of whoever refused it, and of a token that failed", async (t) => {
    const detail = "Topics under walls/ are followed with a token.";
    const problem = { "Content-Type": "application/problem+json" };
    const server = await Misbehaving.start(t, [{ status: 403, headers: problem, body: JSON.stringify({ detail }) }]);
    const refused = new EventSource(`${server.origin}/stream`);
    await once(refused, "error");
    assert.deepEqual([refused.readyState, refused.reason], [2, `it was answered 403: ${detail}`]);
    const without = new EventSource(`${server.origin}/stream`, { token: () => Promise.reject(new Error("signed out")) });
    await once(without, "error");
    assert.deepEqual([without.readyState, without.reason], [0, "no token (signed out)"]);
    without.close();
  });

  test("S3: a body that does not end with its request keeps nobody, and what is left of it is not heard", async () => {
    // Node's is such a one when it was compressed, and given up just as its last bytes came.
    /** @type {ReadableStreamDefaultController<Uint8Array>[]} */
    const bodies = [];
    const fetch = async () => {
      const body = new ReadableStream({ start: (controller) => void bodies.push(controller) });
      return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    };
    const say = (/** @type {number} */ line, /** @type {string} */ data) =>
      bodies[line]?.enqueue(new TextEncoder().encode(`data: ${data}\n\n`));
    const source = new EventSource("http://127.0.0.1:1/", { fetch });
    /** @type {string[]} */
    const heard = [];
    source.onmessage = ({ data }) => heard.push(data);
    await once(source, "open");
    source.restart();
    await until("the next line", () => bodies.length === 2);
    say(0, "left over");
    say(1, "next");
    await until("what comes next", () => heard.includes("next"));
    source.close();
    say(1, "after the end");
    await wait(50);
    assert.deepEqual(heard, ["next"]);
  });

  test("H8: what no request can be made of is told at once", () => {
    assert.throws(() => new EventSource("http://127.0.0.1:1/", { body: "with GET" }), TypeError);
    assert.throws(() => new EventSource("http://127.0.0.1:1/", { headers: { "X Y": "z" } }), TypeError);
    assert.throws(() => new EventSource("http://127.0.0.1:1/", { method: "CONNECT" }), TypeError);
  });

  test("S5: what is no URL is refused, and its numbers have names", () => {
    assert.throws(() => new EventSource("http://["), { name: "SyntaxError" });
    assert.deepEqual([EventSource.CONNECTING, EventSource.OPEN, EventSource.CLOSED], [0, 1, 2]);
  });
});
