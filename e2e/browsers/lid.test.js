// @ts-check
// Owns the laptop whose lid is closed: the browser stands still, the server is killed and started again
// meanwhile; the page is live again within the watchdog's time, and has missed nothing.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import { Publisher } from "../support/publisher.js";
import { Server } from "../support/server.js";
import { until } from "../support/until.js";
import { BROWSERS, Browsers } from "./support/browser.js";

/** @typedef {{ data: string[], state: string }} Seen */

const browsers = new Browsers(after);
const TOPIC = "numbers";
/** Seconds between ticks; a line is dead after twice that. */
const HEARTBEAT = 3;
/** Longer than the watchdog waits, and than a broken line's next try. */
const LID_CLOSED = 1_000 * Number(process.env.EVENTWALL_LID_SECONDS ?? 15);
/** The watchdog, a next try at `retry`, which is 3 s, and a busy machine. */
const LIVE_AGAIN = 2_000 * HEARTBEAT + 6_000;

describe("the lid of a laptop", { concurrency: BROWSERS.length }, () => {
  for (const name of BROWSERS) {
    test(`in ${name}`, async (t) => {
      const server = await Server.start(t, ["--heartbeat", `${HEARTBEAT}s`]);
      const page = await browsers.page(t, name, "light", "window");
      await page.goto(`${server.origin}/healthz`);
      await page.evaluate(follow, `${server.origin}/topics/${TOPIC}`);
      const look = () => /** @type {Promise<Seen>} */ (page.evaluate("({ data, state: source.state })"));
      const publisher = new Publisher(server, TOPIC);
      await until("it to be live", async () => (await look()).state === "live");
      await publisher.publish(20);
      await until("the first events", async () => (await look()).data.length === 20);

      const pid = page.browser().process()?.pid;
      assert.ok(pid, "the browser is a process");
      // With all its processes: they are a group.
      process.kill(-pid, "SIGSTOP");
      try {
        await publisher.publish(20);
        await server.kill("SIGKILL");
        await server.restart();
        await publisher.publish(20);
        await wait(LID_CLOSED);
      } finally {
        process.kill(-pid, "SIGCONT");
      }
      const all = async () => (await look()).data.length >= 60;
      await until("all events, once it is open again", all, LIVE_AGAIN);
      const seen = await look();
      assert.deepEqual(seen.data, publisher.acknowledged);
      assert.equal(seen.state, "live");
    });
  }
});

/**
 * Runs in the page.
 * @param {string} url
 */
async function follow(url) {
  const { Eventwall } = await import(/** @type {string} */ ("/eventwall.js"));
  const source = new Eventwall(url);
  /** @type {string[]} */
  const data = [];
  source.onmessage = (/** @type {MessageEvent} */ event) => data.push(event.data);
  Object.assign(window, { source, data });
}
