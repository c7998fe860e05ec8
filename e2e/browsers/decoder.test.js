// @ts-check
// Owns that the inspector's own decoder reads a stream as the standard asks: the byte vectors that
// every decoder here has to pass, cut in every way, and what it must bound. Needs no browser.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Decoder } from "../../web/inspect/js/sse.js";

/**
 * @typedef {import("../../web/inspect/js/sse.js").Item} Item
 * @typedef {{ event: string, data: string, last_event_id: string }} Expected
 * @typedef {{ rule: string, name: string, input?: string, hex?: string, then?: string[], events: Expected[],
 *   retry: number[], comments: string[], last_event_id: string }} Vector
 */

const VECTORS = new URL("../../crates/sse/vectors/decoder.json", import.meta.url);
const SEED = Number(process.env.EVENTWALL_SEED ?? Math.floor(Math.random() * 2 ** 32));

/** @param {string} text */
const bytes = (text) => new TextEncoder().encode(text);

/**
 * @param {Uint8Array} whole
 * @param {() => number} size
 * @returns {Uint8Array[]}
 */
function cut(whole, size) {
  const chunks = [];
  for (let at = 0; at < whole.length; ) {
    const end = at + size();
    chunks.push(whole.subarray(at, end));
    at = end;
  }
  return chunks;
}

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

/** Numbers that a seed repeats (xorshift). @param {number} seed */
function random(seed) {
  let state = seed >>> 0 || 1;
  /** @param {number} below */
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

test("every byte vector, in any chunking", async () => {
  /** @type {{ vectors: Vector[] }} */
  const { vectors } = JSON.parse(await readFile(VECTORS, "utf8"));
  assert.ok(vectors.length > 50, "the vector file lost its vectors");
  for (const vector of vectors) {
    const first = vector.hex === undefined ? bytes(vector.input ?? "") : Buffer.from(vector.hex, "hex");
    for (const size of [1, 2, 3, 5, 7, Infinity]) {
      const decoder = new Decoder();
      const items = decode(decoder, first, () => size);
      for (const next of vector.then ?? []) {
        decoder.reconnected();
        items.push(...decode(decoder, bytes(next), () => size));
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
  const pieces = ["\n", "\r", "\r\n", "\n\n", "data", "data:", "data: x", "id: 7", "id:\0", "event: e", "topic: t", "retry: 5",
    ":", ": c", " ", "é", "😀", "\ufeff", "\u2028", "longer than the limit is"].map(bytes);
  pieces.push(Uint8Array.of(0xff), Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xef, 0xbb));
  for (let round = 0; round < 3000; round += 1) {
    const whole = Buffer.concat(Array.from({ length: pick(24) }, () => pieces[pick(pieces.length)] ?? bytes("")));
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
