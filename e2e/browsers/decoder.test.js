// @ts-check
// Owns that the inspector's own decoder reads a stream as the standard asks: the byte vectors that
// every decoder here has to pass, cut in every way, and what it must bound. Needs no browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Decoder } from "../../web/inspect/js/sse.js";
import { anyStream, bytes, cut, random, SEED, streams, vectors } from "../support/vectors.js";

/** @typedef {import("../../web/inspect/js/sse.js").Item} Item */

/**
 * @param {Decoder} decoder
 * @param {Uint8Array} whole
 * @param {() => number} size
 */
const decode = (decoder, whole, size) => cut(whole, size).flatMap((chunk) => decoder.feed(chunk));

/** @param {Item[]} items */
function sorted(items) {
  return {
    events: items.flatMap((item) =>
      item.kind === "event" ? [{ event: item.event, data: item.data, last_event_id: item.id }] : [],
    ),
    retry: items.flatMap((item) => (item.kind === "retry" ? [item.ms] : [])),
    comments: items.flatMap((item) => (item.kind === "comment" ? [item.text] : [])),
  };
}

test("every byte vector, in any chunking", async () => {
  for (const vector of await vectors()) {
    for (const size of [1, 2, 3, 5, 7, Infinity]) {
      const decoder = new Decoder();
      /** @type {Item[]} */
      const items = [];
      for (const stream of streams(vector)) {
        decoder.reconnected();
        items.push(...decode(decoder, stream, () => size));
      }
      const { events, retry, comments } = vector;
      const at = `${vector.rule} ${vector.name}, in chunks of ${size}`;
      assert.deepEqual(sorted(items), { events, retry, comments }, at);
      assert.equal(decoder.lastEventId, vector.last_event_id, at);
    }
  }
});

test("any chunking gives the same, with and without a limit", () => {
  const pick = random(SEED);
  for (let round = 0; round < 3000; round += 1) {
    const whole = anyStream(pick);
    const limit = round % 2 ? Infinity : 1 + pick(24);
    const [one, other] = [new Decoder("p", limit), new Decoder("p", limit)];
    const at = `EVENTWALL_SEED=${SEED}, round ${round}: ${whole.toString("hex")}`;
    assert.deepEqual(decode(one, whole, () => 1 + pick(5)), decode(other, whole, () => Infinity), at);
    assert.equal(one.lastEventId, other.lastEventId, at);
  }
});

test("the topic belongs to its block only, and a preset id is in force until replaced", () => {
  const decoder = new Decoder("p");
  const items = decoder.feed(bytes("topic: a/b\ndata: x\n\nid: q\ndata: y\n\n"));
  assert.deepEqual(items.map((item) => item.kind === "event" && [item.topic, item.id]), [["a/b", "p"], [undefined, "q"]]);
});

test("what is too large is skipped whole, and the stream goes on", () => {
  for (const large of ["x".repeat(200), "x\ndata: ".repeat(30), "x\nevent: ".repeat(30)]) {
    for (const size of [1, 7, Infinity]) {
      const decoder = new Decoder("", 100);
      const whole = bytes(`id: 1\ndata: a\n\nid: 2\ndata: ${large}\n\n:${"c".repeat(300)}\nfoo:${"f".repeat(300)}\ndata: b\n\n`);
      const items = decode(decoder, whole, () => size);
      assert.deepEqual(items.map(({ kind }) => kind), ["event", "oversized", "comment", "event"]);
      assert.equal(decoder.lastEventId, "1", "an event that was skipped moves no cursor");
      const [, , comment] = items;
      assert.ok(comment?.kind === "comment" && comment.text.length <= 100);
    }
  }
});
