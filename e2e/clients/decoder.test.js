// @ts-check
// Owns that the browser client's decoder reads a stream as the standard asks, cut in every way, and in time
// that grows with its bytes and not with its chunks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Decoder } from "../../web/client/decoder.js";
import { anyStream, bytes, cut, random, SEED, streams, vectors } from "../support/vectors.js";

/**
 * @param {Uint8Array} whole
 * @param {() => number} size
 * @param {{ id?: string, limit?: number }} [options]
 */
function decode(whole, size, { id = "", limit } = {}) {
  /** @type {number[]} */
  const retry = [];
  const decoder = new Decoder(id, (ms) => retry.push(ms), limit);
  const events = cut(whole, size).flatMap((chunk) => [...decoder.feed(chunk)]);
  return { events, retry, id: decoder.lastEventId, dropped: decoder.dropped };
}

test("every byte vector, in any chunking", async () => {
  for (const vector of await vectors()) {
    for (const size of [1, 2, 3, 5, 7, Infinity]) {
      const seen = { events: /** @type {object[]} */ ([]), retry: /** @type {number[]} */ ([]), id: "" };
      for (const stream of streams(vector)) {
        const { events, retry, id } = decode(stream, () => size, { id: seen.id });
        seen.events.push(...events.map(({ type, data, lastEventId }) => ({ event: type, data, last_event_id: lastEventId })));
        seen.retry.push(...retry);
        seen.id = id;
      }
      const expected = { events: vector.events, retry: vector.retry, id: vector.last_event_id };
      assert.deepEqual(seen, expected, `${vector.rule} ${vector.name}, in chunks of ${size}`);
    }
  }
});

test("any chunking gives the same, with and without a limit", () => {
  const pick = random(SEED);
  for (let round = 0; round < 3000; round += 1) {
    const whole = anyStream(pick);
    const options = { id: "p", limit: round % 2 ? undefined : 1 + pick(24) };
    const at = `EVENTWALL_SEED=${SEED}, round ${round}: ${whole.toString("hex")}`;
    assert.deepEqual(decode(whole, () => 1 + pick(5), options), decode(whole, () => Infinity, options), at);
  }
});

test("an event leaves with the byte that completes it", () => {
  const decoder = new Decoder("", () => {});
  const feed = (/** @type {string} */ text) => [...decoder.feed(bytes(text))].map(({ data }) => data);
  assert.deepEqual(feed("data: one\r\r"), ["one"], "a carriage return at the end of a chunk ends its line");
  assert.deepEqual(feed("\ndata: two\n"), []);
  assert.deepEqual(feed("\n"), ["two"]);
});

test("what is too large is skipped whole, moves no cursor, and the stream goes on", () => {
  for (const large of ["x".repeat(200), "x\ndata: ".repeat(30), "x\nevent: ".repeat(30)]) {
    for (const size of [1, 7, Infinity]) {
      const text = `id: 1\ndata: a\n\nid: 2\ndata: ${large}\n\n:${"c".repeat(300)}\nfoo:${"f".repeat(300)}\ndata: b\n\n`;
      const { events, id, dropped } = decode(bytes(text), () => size, { limit: 100 });
      assert.deepEqual(events.map(({ data, lastEventId }) => [data, lastEventId]), [["a", "1"], ["b", "1"]]);
      assert.deepEqual([id, dropped], ["1", 1]);
    }
  }
});

test("an event of 13 MB comes whole, and in small pieces costs no more than they do", () => {
  const data = "0123456789abcdef".repeat(840_000);
  const whole = bytes(`data: ${data}\n\n`);
  for (const size of [Infinity, 65_536, 61]) {
    const { events } = decode(whole, () => size);
    assert.ok(events.length === 1 && events[0]?.data === data, `in chunks of ${size}`);
  }
});
