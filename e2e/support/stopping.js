// @ts-check
// Owns a server that is going down and can't yet end, because someone still publishes.

import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";

import { until, within } from "./until.js";

/** @typedef {import("./server.js").Server} Server */

/**
 * Asks a server to stop while a publish keeps it from ending.
 * @param {Server} server
 * @returns {Promise<() => Promise<void>>} lets it end, and waits for that
 */
export async function beginToStop(server) {
  const headers = { "Content-Length": 1, Expect: "100-continue" };
  const publish = request(`${server.origin}/topics/slow`, { method: "POST", headers });
  const answered = new Promise((resolve, reject) => publish.once("response", resolve).once("error", reject));
  answered.catch(() => {});
  // So the server has begun with it.
  await within("the server to want a body", once(publish, "continue"));
  const stopped = server.kill("SIGTERM");
  await until("the server to go down", () => isGoingDown(server));
  return async () => {
    publish.end("1");
    const answer = await within("the slow publish to be answered", answered);
    assert.equal(answer.resume().statusCode, 201);
    assert.equal(await stopped, 0);
  };
}

/** @param {Server} server */
async function isGoingDown(server) {
  // A connection that was kept may just be closing.
  const answer = await fetch(`${server.origin}/readyz`).catch(() => undefined);
  return answer?.status === 503;
}
