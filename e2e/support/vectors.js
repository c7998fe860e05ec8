// @ts-check
// Owns what every decoder of event streams is given here: the byte vectors of `crates/sse`, bytes at random,
// and ways to cut them.

import { readFile } from "node:fs/promises";

/**
 * @typedef {{ event: string, data: string, last_event_id: string }} Expected
 * @typedef {{ rule: string, name: string, input?: string, hex?: string, then?: string[], events: Expected[],
 *   retry: number[], comments: string[], last_event_id: string }} Vector
 */

const VECTORS = new URL("../../crates/sse/vectors/decoder.json", import.meta.url);
export const SEED = Number(process.env.EVENTWALL_SEED ?? Math.floor(Math.random() * 2 ** 32));

/** @param {string} text */
export const bytes = (text) => new TextEncoder().encode(text);

/** @returns {Promise<Vector[]>} */
export async function vectors() {
  const { vectors } = JSON.parse(await readFile(VECTORS, "utf8"));
  if (vectors.length < 50) throw new Error("the vector file lost its vectors");
  return vectors;
}

/** The streams of a vector, one a connection. @param {Vector} vector */
export function streams({ hex, input = "", then = [] }) {
  return [hex === undefined ? bytes(input) : Buffer.from(hex, "hex"), ...then.map(bytes)];
}

/**
 * @param {Uint8Array} whole
 * @param {() => number} size
 * @returns {Uint8Array[]}
 */
export function cut(whole, size) {
  const chunks = [];
  for (let at = 0; at < whole.length; ) {
    const end = at + size();
    chunks.push(whole.subarray(at, end));
    at = end;
  }
  return chunks;
}

/** Numbers that a seed repeats (xorshift). @param {number} seed */
export function random(seed) {
  let state = seed >>> 0 || 1;
  /** @param {number} below */
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const PIECES = ["\n", "\r", "\r\n", "\n\n", "data", "data:", "data: x", "id: 7", "id:\0", "event: e", "topic: t", "retry: 5",
  ":", ": c", " ", "é", "😀", "\ufeff", "\u2028", "longer than the limit is"].map(bytes);
PIECES.push(Uint8Array.of(0xff), Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xef, 0xbb));

/** A stream put together at random. @param {(below: number) => number} pick */
export function anyStream(pick) {
  return Buffer.concat(Array.from({ length: pick(24) }, () => PIECES[pick(PIECES.length)] ?? bytes("")));
}
