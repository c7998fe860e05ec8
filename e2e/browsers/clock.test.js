// @ts-check
// Owns a clock that is followed over a kill, a drain and a time without a server, by stock EventSource in each
// browser at once.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { BROWSERS, Browsers } from "./support/browser.js";
import { Follower } from "./support/follower.js";
import { BINARY, Server } from "../support/server.js";
import { until } from "../support/until.js";

const browsers = new Browsers(after);
const OUTAGE = 1_000 * Number(process.env.EVENTWALL_OUTAGE_SECONDS ?? 10);
const LAST = "the last tick";
/** Firefox waits for up to a minute before it tries a refused server again. */
const BACK = 90_000;

/**
 * The clock of 2011 in one line, at twice its pace; it outlives its server.
 * @param {import("../support/server.js").Owner} owner
 * @param {Server} server
 */
function startClock(owner, server) {
  const words = ["publish", "clock", "--every", "500ms", "--server", server.origin, "--", "date", "+%s.%N"];
  const clock = spawn(BINARY, words, { stdio: "ignore" });
  owner.after(async () => void clock.kill());
  return clock;
}

test("every tick of a clock arrives once, over a kill, a drain and an outage", { timeout: 400_000 }, async (t) => {
  const server = await Server.start(t);
  const all = await Promise.all(
    BROWSERS.map(async (name) => Follower.follow(await browsers.page(t, name), server, "/topics/clock")),
  );
  const clock = startClock(t, server);
  /** @param {number} count how many more ticks each browser is to see */
  const ticks = async (count) => {
    const seen = await Promise.all(all.map(async (follower) => (await follower.data()).length));
    const more = async () =>
      (await Promise.all(all.map((follower) => follower.data()))).every((data, i) => data.length >= (seen[i] ?? 0) + count);
    await until(`${count} more ticks in each browser`, more, BACK);
  };
  const began = Date.now();
  await ticks(30);
  await server.kill("SIGKILL");
  await server.restart();
  await ticks(30);
  assert.equal(await server.kill("SIGTERM"), 0);
  await server.restart();
  await ticks(30);
  await server.kill("SIGKILL");
  await pause(OUTAGE);
  await server.restart();
  await ticks(30);
  clock.kill();
  await server.publish("clock", LAST);
  const logged = (await server.logged("clock")).map(({ id, data }) => ({ id, data }));
  for (const [i, follower] of all.entries()) {
    await until(`the last tick in ${BROWSERS[i]}`, async () => (await follower.data()).includes(LAST), BACK);
    assert.deepEqual(await follower.arrivals(), logged, `what arrived in ${BROWSERS[i]} is what is in the log`);
    assert.ok(!(await follower.controls()).includes("eventwall:gap"), `no gap in ${BROWSERS[i]}`);
  }
  t.diagnostic(`${logged.length} ticks in ${Math.round((Date.now() - began) / 1000)} s, each once in ${BROWSERS.join(" and ")}`);
});
