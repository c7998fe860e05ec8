// @ts-check
// Owns how a rule is put to a client: the server that answers so, the wait until it is over, the verdict.

import { setTimeout as wait } from "node:timers/promises";

import { Misbehaving } from "./misbehaving.js";
import { until } from "./until.js";

/**
 * @typedef {import("./rules.js").Rule} Rule
 * @typedef {import("./rules.js").Told} Told
 * @typedef {{ look(): Told | Promise<Told>, close(): void | Promise<void> }} Telling
 */

/** For so long nothing more may happen to who is closed: what never comes cannot be waited for. */
const SILENCE = 300;

/**
 * @param {import("./server.js").Owner} owner
 * @param {Rule} rule
 * @param {(server: Misbehaving) => Promise<Telling>} begin
 */
export async function judge(owner, { title, answers, until: over, check }, begin) {
  const server = await Misbehaving.start(owner, answers);
  const telling = await begin(server);
  try {
    await until(`the end of: ${title}`, async () => {
      const told = await telling.look();
      // Only what was heard is sure to have come before a reset.
      if (told.log.some((line) => line.startsWith("message"))) server.break();
      return over(told, server);
    });
    if ((await telling.look()).state === 2) await wait(SILENCE);
    check(await telling.look(), server);
  } finally {
    await telling.close();
  }
}
