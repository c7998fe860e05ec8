// @ts-check
// Owns what tabs that share a line are told, each by itself: its own topics and their past, ephemeral events,
// gaps, breaks; and that who has to goes without sharing. And what a page does that nobody sees.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import { Misbehaving } from "../support/misbehaving.js";
import { Publisher } from "../support/publisher.js";
import { Server } from "../support/server.js";
import { untilEqual } from "../support/until.js";
import { BROWSERS, Browsers } from "./support/browser.js";
import { Tabs } from "./support/tabs.js";

/** @typedef {{ data: string[], shared: boolean }} Promised */

const browsers = new Browsers(after);
const TOPIC = "numbers";
/** As many topics as a stream may have, and then some, by two tabs. */
const MANY = 60;

for (const name of BROWSERS) {
  describe(`tabs that share a line, in ${name}`, () => {
    /** @param {import("node:test").TestContext} t @param {string[]} queries @param {object} [options] */
    async function open(t, queries, options) {
      const server = await Server.start(t);
      const tabs = await Tabs.open(t, browsers, name, server, 0, { host: "worker", topic: TOPIC });
      for (const query of queries) await tabs.add(query, options);
      return { server, tabs };
    }

    test("a tab that comes with a topic of its own gets that one's past, and joins without a seam", async (t) => {
      const { server, tabs } = await open(t, [`/topics/${TOPIC}`]);
      await tabs.untilShared();
      const others = new Publisher(server, "others/one");
      await others.publish(30);
      const numbers = new Publisher(server, TOPIC);
      numbers.begin();
      others.begin();
      const late = await tabs.add("/events?topic=others/*&last=10");
      await tabs.untilShared();
      const all = await tabs.add(`/events?topic=**&since=1h`);
      await tabs.untilShared();
      await others.untilAcknowledged(50);
      await numbers.untilAcknowledged(50);
      await untilEqual(() => server.subscribers(), 1, "streams at the server");
      await server.kill("SIGTERM");
      await Promise.all([numbers.ended(), others.ended()]);
      await server.restart();
      const [first] = tabs.pages;
      assert.ok(first);
      const [ones, twos] = [await server.logged(TOPIC), await server.logged("others/one")];
      await tabs.untilData(first, ones.map(({ data }) => data));
      const { data } = await tabs.look(late);
      const begins = Number(data[0]);
      assert.ok(begins > 20, "ten of the past, and what came meanwhile");
      await tabs.untilData(late, twos.map((event) => event.data).filter((number) => Number(number) >= begins));
      const both = [...ones, ...twos].sort((a, b) => Number(a.id.split("-")[1]) - Number(b.id.split("-")[1]));
      await tabs.untilData(all, both.map((event) => event.data));
      await tabs.untilShared();
      await untilEqual(() => server.subscribers(), 1, "streams at the server");
    });

    test("a server that is killed is a break to each, and loses and doubles nothing", async (t) => {
      const { server, tabs } = await open(t, Array(4).fill(`/topics/${TOPIC}`));
      await tabs.untilShared();
      const publisher = new Publisher(server, TOPIC);
      await publisher.publish(10);
      await tabs.untilAll(publisher);
      await server.kill();
      for (const page of tabs.pages) await untilEqual(async () => (await tabs.look(page)).errors, 1, "breaks");
      await server.restart();
      await publisher.publish(10);
      await tabs.untilAll(publisher);
      for (const page of tabs.pages) {
        const { opens, errors, states } = await tabs.look(page);
        assert.deepEqual({ opens, errors }, { opens: 2, errors: 1 });
        assert.ok(states.includes("connecting"), String(states));
        assert.equal(states.at(-1), "live");
      }
      await untilEqual(() => server.subscribers(), 1, "streams at the server");
    });

    test("ephemeral events and gaps reach everybody once", async (t) => {
      const { server, tabs } = await open(t, Array(3).fill(`/topics/${TOPIC}?after=gone-1`));
      await tabs.untilShared();
      const answer = await fetch(`${server.origin}/topics/${TOPIC}?ephemeral`, { method: "POST", body: "typing" });
      assert.equal(answer.status, 202);
      for (const page of tabs.pages) {
        await tabs.untilData(page, ["typing"]);
        assert.deepEqual((await tabs.look(page)).gaps, ["replaced"]);
        assert.equal((await tabs.look(page)).lives, 1);
      }
      await server.kill();
      await server.forget();
      await server.restart();
      await server.publish(TOPIC, "anew");
      for (const page of tabs.pages) {
        await tabs.untilData(page, ["typing", "anew"]);
        assert.deepEqual((await tabs.look(page)).gaps, ["replaced", "replaced"]);
      }
    });

    test("what all want together is refused, and each has its own line", async (t) => {
      const queries = ["a", "b"].map((one) => `/events?${Array.from({ length: MANY }, (_, i) => `topic=${one}/${i}`).join("&")}`);
      const { server, tabs } = await open(t, queries);
      await untilEqual(() => server.subscribers(), 2, "streams at the server");
      await server.publish("a/1", "to a");
      await server.publish("b/1", "to b");
      for (const [i, page] of tabs.pages.entries()) await tabs.untilData(page, [i ? "to b" : "to a"]);
      for (const page of tabs.pages) assert.equal((await tabs.look(page)).state, "live");
    });

    test("who leads asks the pages for a token, each time", async (t) => {
      const { server, tabs } = await open(t, []);
      const other = await Misbehaving.start(t, [{ body: "id: a-1\ndata: own\n\n", then: "hold" }, { body: "retry: 300\n\nid: a-2\ndata: 2\n\n" }, { body: "id: a-3\ndata: 3\n\n", then: "hold" }]);
      const page = await tabs.blank();
      await page.goto(`${server.origin}/healthz`);
      await page.evaluate(followWithToken, `${other.origin}/stream/topics/x`);
      const look = () => /** @type {Promise<Promised>} */ (page.evaluate("({ data, shared: source.shared })"));
      await untilEqual(look, { data: ["own", "2", "3"], shared: true });
      assert.deepEqual(other.asked.map(({ headers }) => headers.authorization), ["Bearer 1", "Bearer 2", "Bearer 3"]);
    });

    test("what is closed stays closed, whoever closes it", async (t) => {
      const { server, tabs } = await open(t, Array(2).fill(`/topics/${TOPIC}`));
      await tabs.untilShared();
      const [one, other] = tabs.pages;
      assert.ok(one && other);
      await one.evaluate("source.close()");
      await other.evaluate("source.addEventListener('message', () => source.close())");
      await server.publish(TOPIC, "the last");
      await untilEqual(() => server.subscribers(), 0, "streams at the server");
      // A closed line would be back by now, with its next look for a leader.
      await wait(2_000);
      assert.equal(await server.subscribers(), 0);
      for (const page of [one, other]) {
        const { state, shared, opens, errors } = await tabs.look(page);
        assert.deepEqual({ state, shared, opens, errors }, { state: "closed", shared: false, opens: 1, errors: 0 });
      }
    });

    test("a gap that ends where its followers stand is told to them", async (t) => {
      const server = await Server.start(t, ["--max-events-per-topic", "5"]);
      const tabs = await Tabs.open(t, browsers, name, server, 0, { host: "worker", topic: TOPIC });
      for (const topic of ["a", "b"]) await tabs.add(`/topics/${topic}`);
      await tabs.untilShared();
      await server.publish("a", "0");
      await tabs.untilData(/** @type {import("puppeteer-core").Page} */ (tabs.pages[0]), ["0"]);
      await server.kill();
      await server.restart();
      // What is left of b comes before what is lost of a.
      await server.batch([{ topic: "b", data: "kept" }, ...Array.from({ length: 20 }, (_, i) => ({ topic: "a", data: `${i}` }))]);
      for (const page of tabs.pages) await untilEqual(async () => (await tabs.look(page)).gaps, ["expired"], "gaps", 30_000);
      const [a, b] = tabs.pages;
      assert.ok(a && b);
      await tabs.untilData(a, ["0", "15", "16", "17", "18", "19"]);
      await tabs.untilData(b, ["kept"]);
    });

    test("a page that shares rests, too, when nobody sees it", async (t) => {
      const { server, tabs } = await open(t, [`/topics/${TOPIC}`], { share: true, hidden: 200 });
      await tabs.untilShared();
      const publisher = new Publisher(server, TOPIC);
      const [page] = tabs.pages;
      assert.ok(page);
      await publisher.publish(3);
      await tabs.untilAll(publisher);
      await (await tabs.context.newPage()).bringToFront();
      await untilEqual(async () => (await tabs.look(page)).state, "paused");
      await untilEqual(() => server.subscribers(), 0, "streams at the server");
      await publisher.publish(3);
      await page.bringToFront();
      await tabs.untilAll(publisher);
      await tabs.untilShared();
    });

    test("who rests while a server wants to be left alone comes back all the same", async (t) => {
      const { tabs } = await open(t, []);
      const headers = { "Retry-After": "2" };
      const other = await Misbehaving.start(t, [{ status: 503, headers }, { body: "data: last\n\n", then: "hold" }]);
      const page = await tabs.blank();
      // Pages of another origin are not told of that header.
      await page.goto(other.origin);
      await page.evaluate(followHidden, `${other.origin}/stream`);
      await untilEqual(() => other.asked.length, 1);
      await (await tabs.context.newPage()).bringToFront();
      await untilEqual(() => page.evaluate("document.hidden"), true);
      await wait(300);
      await page.bringToFront();
      await untilEqual(() => page.evaluate("data"), ["last"]);
      assert.ok(Number(other.asked[1]?.at) - Number(other.asked[0]?.at) >= 2_000, "not before it likes");
    });

    test("a page that nobody sees for a while gives its line up, and goes on where it was", async (t) => {
      const { server, tabs } = await open(t, [`/topics/${TOPIC}`], { share: false, hidden: 200 });
      const publisher = new Publisher(server, TOPIC);
      const [page] = tabs.pages;
      assert.ok(page);
      await untilEqual(async () => (await tabs.look(page)).state, "live");
      await publisher.publish(5);
      await tabs.untilAll(publisher);
      const other = await tabs.context.newPage();
      await other.bringToFront();
      await untilEqual(async () => (await tabs.look(page)).state, "paused");
      await untilEqual(() => server.subscribers(), 0, "streams at the server");
      await publisher.publish(5);
      await page.bringToFront();
      await tabs.untilAll(publisher);
      assert.equal((await tabs.look(page)).state, "live");
    });
  });
}

/**
 * Runs in the page. Its worker would be of another origin, so that the page leads.
 * @param {string} url
 */
async function followWithToken(url) {
  const { Eventwall } = await import(/** @type {string} */ ("/eventwall.js"));
  let tokens = 0;
  const source = new Eventwall(url, { share: "me", token: async () => String((tokens += 1)) });
  /** @type {string[]} */
  const data = [];
  source.onmessage = (/** @type {MessageEvent} */ event) => data.push(event.data);
  Object.assign(window, { source, data });
}

/**
 * Runs in the page.
 * @param {string} url
 */
async function followHidden(url) {
  const { Eventwall } = await import(/** @type {string} */ ("/eventwall.js"));
  const source = new Eventwall(url, { hidden: 100 });
  /** @type {string[]} */
  const data = [];
  source.onmessage = (/** @type {MessageEvent} */ event) => data.push(event.data);
  Object.assign(window, { source, data });
}
