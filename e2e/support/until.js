// @ts-check
// Owns waiting for something to become true; every wait has a deadline and says what it was for.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

export const DEADLINE = 20_000;
const BETWEEN_LOOKS = 40;
/** Where a look costs much. */
export const LONGER = 150;

/**
 * What `look` finds, once it finds something.
 * @template T
 * @param {string} what for the message when it never comes
 * @param {() => T | Promise<T>} look
 * @param {number} [deadline]
 * @param {number} [between] milliseconds between two looks
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, look, deadline = DEADLINE, between = BETWEEN_LOOKS) {
  const end = Date.now() + deadline;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`Waited ${deadline / 1000} s in vain: ${what}`);
    await pause(between);
  }
}

/**
 * Waits until `look` finds `expected`; in vain, it fails with the difference.
 * @template T
 * @param {() => T | Promise<T>} look
 * @param {T} expected
 * @param {string} [what]
 * @param {number} [deadline]
 */
export async function untilEqual(look, expected, what, deadline = DEADLINE) {
  const end = Date.now() + deadline;
  for (;;) {
    const found = await look();
    if (same(found, expected)) return;
    if (Date.now() > end) return assert.deepEqual(found, expected, what);
    await pause(BETWEEN_LOOKS);
  }
}

/**
 * @param {unknown} one
 * @param {unknown} other
 */
function same(one, other) {
  try {
    assert.deepEqual(one, other);
    return true;
  } catch {
    return false;
  }
}

/**
 * @template T
 * @param {string} what
 * @param {Promise<T>} promise
 * @param {number} [deadline]
 * @returns {Promise<T>}
 */
export async function within(what, promise, deadline = DEADLINE) {
  const over = new AbortController();
  const late = pause(deadline, undefined, { signal: over.signal }).then(() => {
    throw new Error(`Waited ${deadline / 1000} s in vain: ${what}`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
    late.catch(() => {});
  }
}
