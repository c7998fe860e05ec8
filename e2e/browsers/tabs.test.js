// @ts-check
// Owns that all tabs of a page share one line, in both browsers, with a SharedWorker and with a page that leads:
// twelve of them, whatever happens to the leader, get all of a thousand events once and in order.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import { Publisher } from "../support/publisher.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";
import { BROWSERS, Browsers } from "./support/browser.js";
import { spin, Tabs } from "./support/tabs.js";

const browsers = new Browsers(after);
const TOPIC = "numbers";
const TABS = 12;
const EVENTS = 1_000;
/** Milliseconds between two events. */
const PACE = 10;
/** Events that have to come after each misfortune. */
const SOME = 50;

for (const name of BROWSERS) {
  describe(`one line for all tabs, in ${name}`, () => {
    for (const host of /** @type {const} */ (["page", "worker"])) {
      test(`twelve of them, led by a ${host} that goes in every way`, (t) => misfortunes(t, name, host));
    }
  });
}

/**
 * @param {import("node:test").TestContext} t
 * @param {import("./support/browser.js").Name} name
 * @param {"page" | "worker"} host
 */
async function misfortunes(t, name, host) {
  const server = await Server.start(t);
  const tabs = await Tabs.open(t, browsers, name, server, TABS, { host, topic: TOPIC });
  await tabs.untilShared();
  await untilEqual(() => server.subscribers(), 1, "streams at the server");
  const publisher = new Publisher(server, TOPIC);
  let going = true;
  const publishing = (async () => {
    for (; going; await wait(PACE)) await publisher.publish(1);
  })();
  try {
    await tabs.untilMore(SOME);
    await close(tabs);
    await tabs.untilMore(SOME);
    t.diagnostic(`${await crash(tabs, host)} of ${TABS} live on`);
    await tabs.untilMore(SOME);
    await freeze(tabs, host);
  } finally {
    going = false;
  }
  await publishing;
  t.diagnostic(`${publisher.acknowledged.length} events during all this`);
  await publisher.publish(Math.max(0, EVENTS - publisher.acknowledged.length));
  await tabs.untilAll(publisher);
  await tabs.untilShared();
  await untilEqual(() => server.subscribers(), 1, "streams at the server");
}

/** The tab that leads, or that had the worker made. @param {Tabs} tabs */
async function close(tabs) {
  const leader = await tabs.leader();
  await leader.close();
  tabs.pages = tabs.pages.filter((page) => page !== leader);
}

/** @param {Tabs} tabs @param {"page" | "worker"} host */
async function crash(tabs, host) {
  const place = await leading(tabs, host);
  process.kill(await tabs.processOf((ms) => place.evaluate(spin, ms)), "SIGKILL");
  tabs.pages = await until("the crash to be seen", async () => {
    const alive = await tabs.alive();
    return alive.some((page) => page === place) ? undefined : alive;
  });
  assert.ok(tabs.pages.length > 0, "some tabs are in other processes");
  return tabs.pages.length;
}

/** @param {Tabs} tabs @param {"page" | "worker"} host */
async function freeze(tabs, host) {
  const place = await leading(tabs, host);
  const pid = await tabs.processOf((ms) => place.evaluate(spin, ms));
  process.kill(pid, "SIGSTOP");
  const all = tabs.pages;
  try {
    tabs.pages = await tabs.alive();
    assert.ok(tabs.pages.length > 0, "some tabs are in other processes");
    await tabs.untilMore(SOME);
    await tabs.untilShared();
  } finally {
    process.kill(pid, "SIGCONT");
    tabs.pages = all;
  }
}

/** @param {Tabs} tabs @param {"page" | "worker"} host */
async function leading(tabs, host) {
  return (host === "worker" && (await tabs.worker())) || tabs.leader();
}
