// @ts-check
// Owns a number of tabs of one browser that follow the same hub with the module as it is served; never reaches
// into it but for what it says on its channel.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";

import { LEAD } from "../../../web/client/messages.js";
import { until } from "../../support/until.js";

/**
 * @typedef {import("puppeteer-core").Page} Page
 * @typedef {import("../../support/server.js").Server} Server
 * @typedef {import("../../support/server.js").Owner} Owner
 * @typedef {import("../../support/publisher.js").Publisher} Publisher
 * @typedef {{ data: string[], shared: boolean, state: string, gaps: string[], leads: number, opens: number, errors: number, lives: number, states: string[] }} Seen
 * @typedef {{ host: "worker" | "page", topic: string }} Choice
 */

export class Tabs {
  /** @type {Page[]} */
  pages = [];
  /** @type {import("puppeteer-core").BrowserContext} */
  context;
  #server;
  #choice;

  /** @type {Page | undefined} */
  #blank;

  /** @param {Page} blank @param {Server} server @param {Choice} choice */
  constructor(blank, server, choice) {
    this.#blank = blank;
    this.context = blank.browserContext();
    this.#server = server;
    this.#choice = choice;
  }

  /**
   * @param {Owner} owner
   * @param {import("./browser.js").Browsers} browsers
   * @param {import("./browser.js").Name} name
   * @param {Server} server
   * @param {number} count
   * @param {Choice} choice
   */
  static async open(owner, browsers, name, server, count, choice) {
    const tabs = new Tabs(await browsers.page(owner, name, "light", "window"), server, choice);
    while (tabs.pages.length < count) await tabs.add();
    return tabs;
  }

  /** A tab that follows nothing yet. */
  async blank() {
    const tab = this.#blank ?? (await this.context.newPage());
    this.#blank = undefined;
    return tab;
  }

  /** @param {string} [query] @param {object} [options] */
  async add(query = `/topics/${this.#choice.topic}`, options = { share: true }) {
    const tab = await this.blank();
    await tab.goto(`${this.#server.origin}/healthz`);
    await tab.evaluate(follow, `${this.#server.origin}${query}`, options, this.#choice.host === "page", LEAD);
    this.pages.push(tab);
    return tab;
  }

  /** @param {Page} page */
  look(page) {
    return /** @type {Promise<Seen>} */ (page.evaluate("look()"));
  }

  async untilShared(pages = this.pages) {
    for (const [i, page] of pages.entries()) {
      await until(`tab ${i} to share`, async () => (await this.look(page)).shared);
    }
  }

  /** The tab that took the lead last. */
  async leader() {
    const seen = await Promise.all(this.pages.map((page) => this.look(page)));
    const latest = Math.max(...seen.map(({ leads }) => leads));
    assert.ok(latest > 0 || this.#choice.host !== "page", "one of the pages leads");
    return /** @type {Page} */ (this.pages[seen.findIndex(({ leads }) => leads === latest)]);
  }

  /** The process in which something runs: the one that works when it does. @param {(ms: number) => Promise<unknown>} work */
  async processOf(work) {
    const before = await times(this.#browser);
    await work(BUSY);
    const [busiest] = (await times(this.#browser)).map(({ pid, time }) => ({ pid, time: time - (before.find((one) => one.pid === pid)?.time ?? 0) })).sort((a, b) => b.time - a.time);
    assert.ok(busiest, "the browser has processes");
    return busiest.pid;
  }

  /** The worker that holds the line, where it can be reached: in Chromium. */
  async worker() {
    const target = this.context.targets().find((one) => String(one.type()) === "shared_worker");
    return target?.worker();
  }

  /** Those that still answer. */
  async alive() {
    const answers = this.pages.map(async (page) => {
      const late = new Promise((_, reject) => setTimeout(reject, ANSWER).unref());
      return Promise.race([page.evaluate("look().state"), late]).then(() => [page], () => []);
    });
    return (await Promise.all(answers)).flat();
  }

  get #browser() {
    const pid = this.context.browser().process()?.pid;
    assert.ok(pid, "the browser is a process");
    return pid;
  }

  /** Each has so many more than now. @param {number} count */
  async untilMore(count) {
    const had = await Promise.all(this.pages.map(async (page) => (await this.look(page)).data.length));
    for (const [i, page] of this.pages.entries()) {
      await until(`${count} more in tab ${i}`, async () => (await this.look(page)).data.length >= (had[i] ?? 0) + count);
    }
  }

  /** @param {Publisher} publisher */
  async untilAll(publisher, pages = this.pages) {
    const wanted = publisher.acknowledged;
    for (const [i, page] of pages.entries()) {
      await until(`tab ${i} to have all`, async () => (await this.look(page)).data.length >= wanted.length);
      const seen = await this.look(page);
      assert.deepEqual(seen.data, wanted, `tab ${i}`);
      assert.deepEqual(seen.gaps, []);
    }
  }

  /** @param {Page} page @param {string[]} wanted */
  async untilData(page, wanted) {
    const has = async () => (await this.look(page)).data.length >= wanted.length;
    await until("all of it", has).catch(() => {});
    assert.deepEqual((await this.look(page)).data, wanted);
  }
}

/** Milliseconds in which a tab that is there answers. */
const ANSWER = 3_000;
const BUSY = 1_000;

/**
 * Runs in the page.
 * @param {string} url
 * @param {object} options
 * @param {boolean} pageLeads as where there is no SharedWorker
 * @param {number} lead what a leader says first
 */
async function follow(url, options, pageLeads, lead) {
  if (pageLeads) Reflect.deleteProperty(window, "SharedWorker");
  const seen = {
    data: /** @type {string[]} */ ([]),
    gaps: /** @type {string[]} */ ([]),
    states: /** @type {string[]} */ ([]),
    ...{ opens: 0, errors: 0, lives: 0, leads: 0 },
  };
  const { postMessage } = BroadcastChannel.prototype;
  BroadcastChannel.prototype.postMessage = function (message) {
    if (message[1] === lead) seen.leads = Date.now();
    postMessage.call(this, message);
  };
  const { Eventwall } = await import(/** @type {string} */ ("/eventwall.js"));
  const source = new Eventwall(url, options);
  source.onopen = () => (seen.opens += 1);
  source.onerror = () => (seen.errors += 1);
  source.onmessage = (/** @type {MessageEvent} */ { data }) => seen.data.push(data);
  source.addEventListener("state", () => seen.states.push(source.state));
  source.addEventListener("eventwall:live", () => (seen.lives += 1));
  source.addEventListener("eventwall:gap", (/** @type {CustomEvent} */ { detail }) => seen.gaps.push(detail.reason));
  const look = () => ({ ...seen, shared: source.shared, state: source.state });
  Object.assign(window, { source, look });
}

/** @param {number} ms runs in the page or worker, and keeps its thread from all else */
export function spin(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** What the processes of a group have used, in ticks. @param {number} group */
async function times(group) {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const stats = pids.map(async (pid) => {
    // The name of a program may have spaces.
    const [, , leader, ...fields] = (await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")).replace(/.*\) /, "").split(" ");
    return { pid: Number(pid), group: Number(leader), time: Number(fields[8]) + Number(fields[9]) };
  });
  return (await Promise.all(stats)).filter((stat) => stat.group === group);
}
