// @ts-check
// Owns one server process with its port and its data directory; never leaves either behind.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { whenLeaving } from "./leaving.js";
import { within } from "./until.js";

/**
 * @typedef {import("node:child_process").ChildProcessByStdio<null, import("node:stream").Readable, import("node:stream").Readable>} Child
 * @typedef {{ after(clean: () => Promise<void>): void }} Owner a test, or whatever else cleans up
 * @typedef {{ id: string, data: string, event: string, topic: string, time: string, by?: string }} Logged
 */

const BUILT = fileURLToPath(new URL("../../target/debug/eventwall", import.meta.url));
export const BINARY = process.env.EVENTWALL_BIN || BUILT;
const GREETING_ENDS = "Ctrl-C stops it.";
const MOST_EVENTS = 1000;

export class Server {
  #data;
  #settings;
  #said = "";
  #settled = whenLeaving(() => {
    this.#child?.kill("SIGKILL");
    rmSync(this.#data, { recursive: true, force: true });
  });
  /** @type {Child | undefined} */
  #child;
  /** Where it answers, without a slash at the end. */
  origin = "";

  /**
   * @param {string} data
   * @param {string[]} settings
   */
  constructor(data, settings) {
    this.#data = data;
    this.#settings = settings;
  }

  /**
   * A server on a free port with a data directory of its own, until its owner is done.
   * @param {Owner} owner
   * @param {string[]} [settings] further flags
   */
  static async start(owner, settings = []) {
    const server = new Server(await mkdtemp(path.join(tmpdir(), "eventwall-e2e-")), settings);
    owner.after(() => server.stop());
    await server.#spawn("127.0.0.1:0");
    return server;
  }

  /**
   * Ends the process, by default as abruptly as a power cut would.
   * @param {NodeJS.Signals} [signal]
   * @returns {Promise<number | null>} the exit code, if it ended by itself
   */
  async kill(signal = "SIGKILL") {
    const child = this.#child;
    if (!child) throw new Error("The server is not running");
    this.#child = undefined;
    const ended = once(child, "exit");
    child.kill(signal);
    const [code] = await within(`the server to end after ${signal}`, ended);
    return code;
  }

  /** Starts it again on the same port with the same data. */
  async restart() {
    if (this.#child) throw new Error("The server is running already");
    await this.#spawn(new URL(this.origin).host);
  }

  /** Loses all its events, as when a disk was replaced; it must not be running. */
  async forget() {
    if (this.#child) throw new Error("The server is running");
    await rm(this.#data, { recursive: true });
    await mkdir(this.#data);
  }

  async stop() {
    if (this.#child) await this.kill();
    await rm(this.#data, { recursive: true, force: true });
    this.#settled();
  }

  /**
   * Publishes one event.
   * @param {string} topic
   * @param {string} data
   * @param {string} [event]
   * @returns {Promise<string>} its id
   */
  async publish(topic, data, event) {
    const query = event === undefined ? "" : `?event=${encodeURIComponent(event)}`;
    const answer = await this.#ask(`/topics/${encodeURIComponent(topic)}${query}`, { method: "POST", body: data });
    return (await answer.json()).id;
  }

  /**
   * Publishes many events at once.
   * @param {{ topic: string, data: string, event?: string }[]} events
   * @returns {Promise<string[]>} their ids
   */
  async batch(events) {
    const headers = { "Content-Type": "application/x-ndjson" };
    const body = events.map((event) => JSON.stringify(event)).join("\n");
    const answer = await this.#ask("/events", { method: "POST", headers, body });
    return (await answer.json()).ids;
  }

  /**
   * Posts as a visitor without a cookie does.
   * @param {string} wall
   * @param {Record<string, string>} post
   * @returns {Promise<string>} its id
   */
  async post(wall, post) {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify(post);
    const answer = await this.#ask(`/walls/${encodeURIComponent(wall)}/posts`, { method: "POST", headers, body });
    return (await answer.json()).id;
  }

  /**
   * Everything in the log of a topic, oldest first: what followers ought to have seen.
   * @param {string} topic
   * @returns {Promise<Logged[]>}
   */
  async logged(topic) {
    const headers = { Accept: "application/json" };
    const answer = await this.#ask(`/topics/${encodeURIComponent(topic)}?last=${MOST_EVENTS}`, { headers });
    const page = await answer.json();
    if (page.more) throw new Error(`${topic} has more events than one page holds`);
    return page.events;
  }

  /**
   * The newest posts of a wall as the server has them, oldest first.
   * @param {string} wall
   * @returns {Promise<{ events: Logged[], counts: { posts: number } }>}
   */
  async posts(wall) {
    const answer = await this.#ask(`/walls/${encodeURIComponent(wall)}/posts?count=200`, {});
    return answer.json();
  }

  /** How many streams are followed now. */
  async subscribers() {
    const text = await (await this.#ask("/metrics", {})).text();
    return Number(/^eventwall_subscribers (\d+)$/m.exec(text)?.[1]);
  }

  /**
   * @param {string} target
   * @param {RequestInit} init
   */
  async #ask(target, init) {
    const answer = await fetch(this.origin + target, { ...init, signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(`${target} answered ${answer.status}: ${await answer.text()}`);
    return answer;
  }

  /** @param {string} listen */
  async #spawn(listen) {
    if (!existsSync(BINARY)) throw new Error(`There is no server at ${BINARY}: build it first, or set EVENTWALL_BIN`);
    const own = this.#settings.includes("--store") ? [] : ["--data", this.#data];
    const child = spawn(BINARY, ["--listen", listen, ...own, ...this.#settings], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH, HOME: this.#data },
    });
    this.#child = child;
    this.#said = "";
    const hear = (/** @type {Buffer} */ words) => (this.#said = (this.#said + words).slice(-10_000));
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    await within("the server to greet", this.#greeted(child));
    this.origin = /^ +wall +(https?:\S+?)\/$/m.exec(this.#said)?.[1] ?? "";
    if (!this.origin) throw new Error(`The greeting names no address:\n${this.#said}`);
  }

  /** @param {Child} child */
  #greeted(child) {
    return new Promise((resolve, reject) => {
      child.stdout.on("data", () => this.#said.includes(GREETING_ENDS) && resolve(undefined));
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`The server ended with ${code}:\n${this.#said}`)));
    });
  }
}
