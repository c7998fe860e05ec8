// @ts-check
// EventSource as the HTML standard has it, over fetch, with what the browser's own lacks: headers, any method,
// tokens, a cursor to begin with, a watchdog, backoff, retries, a state to show, and the reason of an error.

import { Decoder } from "./decoder.js";

/**
 * @typedef {"connecting" | "live" | "stale" | "offline" | "paused" | "closed"} State
 *
 * @typedef {object} Options
 * @property {boolean} [withCredentials] send cookies to other origins, too
 * @property {HeadersInit} [headers] of every request
 * @property {string} [method] of every request; GET
 * @property {BodyInit} [body] of every request
 * @property {() => string | Promise<string>} [token] asked for a bearer token before each request
 * @property {string} [lastEventId] where to begin
 * @property {boolean} [strict] gives up on every answer but 200, as the standard says; without it 408, 425,
 *   429 and 5xx are tried again
 * @property {number} [watchdog] milliseconds without a byte after which the line is taken for dead, 0 for
 *   never; twice the server's `Eventwall-Heartbeat` if it sends one, else never
 * @property {number} [patience] milliseconds until a request must have an answer; 30,000 (of an `Eventwall`
 *   `mute` says so)
 * @property {number} [maxEventSize] characters of an event; a larger one is dropped
 * @property {typeof globalThis.fetch} [fetch]
 *
 * @typedef {object} Outcome how a line ended
 * @property {string} [why] in a sentence
 * @property {boolean} [heard] something came
 * @property {number} [lived] milliseconds from the request to the last byte
 * @property {boolean} [clean] the server ended it
 * @property {boolean} [silent] it was given up, as nothing came for too long
 * @property {boolean} [fatal] it is not tried again
 * @property {boolean} [quiet] another takes its place, and it is nothing to tell
 * @property {number} [after] milliseconds that the server wants to be left alone
 */

// What a timer can wait.
const MAX = 2 ** 31 - 1;

export class EventSource extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;
  CONNECTING = 0;
  OPEN = 1;
  CLOSED = 2;

  /** @type {number} */
  readyState = 0;
  /** @type {State} */
  state = "connecting";
  /** When it tries again, in milliseconds since 1970. @type {number | undefined} */
  nextTry;
  /** Why the last line broke, in a sentence; empty while one is live. */
  reason = "";
  url;
  withCredentials;
  /** Called before any listener. @type {((event: Event) => void) | null} */
  onopen = null;
  /** @type {((event: MessageEvent) => void) | null} */
  onmessage = null;
  /** @type {((event: Event) => void) | null} */
  onerror = null;

  /** @type {Options} */
  #options;
  #target;
  #retry = 3_000;
  #failures = 0;
  /** When the line was asked for, and last heard of. */
  #asked = 0;
  #heard = 0;
  /** The wait is the server's, and not to be cut short. */
  #firm = 0;
  /** Milliseconds without a byte that end the line: now, and once something came. */
  #silence = 0;
  #watchdog = 0;
  #silent = false;
  #asleep = false;
  #hurry = false;
  #quiet = false;
  /** Ends the request, or the wait for the next. @type {(why?: string, _?: unknown) => void} */
  #interrupt = () => {};
  /** @protected ends its listening to the page */
  _page = new AbortController();
  /** @protected where the next request goes on @type {string} */
  _cursor = "";
  /** @protected what the next request waits for @type {Promise<void> | undefined} */
  _ready;

  /** @param {string | URL} url @param {Options} [options] */
  constructor(url, options = {}) {
    super();
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    try {
      this.url = this.#target = new URL(url, base).href;
    } catch {
      throw new DOMException(`${url} is no URL`, "SyntaxError");
    }
    // What no request can be made of is told at once.
    new Request(this.url, options);
    this.#options = options;
    this.withCredentials = Boolean(options.withCredentials);
    this._cursor = options.lastEventId ?? "";
    for (const type of ["open", "message", "error"]) {
      this.addEventListener(type, (event) => /** @type {any} */ (this)[`on${type}`]?.(event));
    }
    this.#watchSurroundings();
    // Listeners come first.
    queueMicrotask(() => this.#run());
  }

  /** The cursor: where the next request goes on. */
  get lastEventId() {
    return this._cursor;
  }

  close() {
    if (this.readyState === 2) return;
    this.readyState = 2;
    this.nextTry = undefined;
    this._page.abort();
    this.#interrupt();
    this.#show("closed");
  }

  /** Drops the line, and takes a new one at once. */
  restart() {
    this.#hurry = true;
    this.#interrupt();
  }

  /** @protected a new line takes the place of this one, which is nothing to tell */
  _renew() {
    this.#quiet = this.#hurry = true;
    this.#interrupt();
  }

  /** @protected what a request asks for @param {string} target @param {boolean} _ beside the line */
  _url(target, _) {
    return target;
  }

  /** @protected milliseconds until the first byte must be there @returns {number | undefined} */
  get _patience() {
    return undefined;
  }

  /** @protected whether the next request follows at once, without a word @param {Outcome} outcome */
  _goesOn({ quiet }) {
    return quiet;
  }

  /** @protected @param {import("./decoder.js").Decoded & { detail?: object }} event @param {string} origin */
  _deliver({ type, data, lastEventId, ...more }, origin) {
    this._cursor = lastEventId;
    this.dispatchEvent(Object.assign(new MessageEvent(type, { data, lastEventId, origin }), more));
  }

  /** @protected a line that rests is put aside, and taken up again at its end @param {boolean} rests */
  _rest(rests) {
    if (rests !== this.#asleep) this.#interrupt("it rests", (this.#asleep = rests));
  }

  /** A wait for the next try ends, unless the server wants it; a dead line is noticed */
  _wake() {
    if (!this.nextTry) this.#sniff();
    else if (!this.#firm) this.#interrupt();
  }

  async #run() {
    while (this.readyState !== 2) {
      while (this._ready) await this._ready;
      // A line that was closed or put aside meanwhile is not begun.
      if (this.readyState === 2) return;
      const outcome = this.#asleep ? { heard: true } : await this.#attempt();
      if (this.readyState === 2) return;
      if (!outcome.fatal && this._goesOn(outcome)) continue;
      this.reason = outcome.why ?? "";
      if (outcome.fatal) {
        this.close();
        this._tell("error");
        return this.#complain(this.reason);
      }
      if (!outcome.heard && (this.#failures += 1) === 1) this.#complain(`${this.reason}; trying again`);
      this.readyState = 0;
      await this.#pause(outcome);
    }
  }

  /** @returns {Promise<Outcome>} */
  async #attempt() {
    if (!/^http/.test(this.#target)) return { fatal: true, why: "not http" };
    const line = new AbortController();
    let broken = "";
    /** @type {Promise<never>} */
    const gone = new Promise((_, reject) => {
      this.#interrupt = (why = "restarted") => {
        broken = why;
        line.abort();
        reject();
      };
    });
    gone.catch(() => {});
    this.nextTry = undefined;
    this.#asked = this.#heard = Date.now();
    this.#silence = this.#options.patience ?? 30_000;
    this.#silent = this.#hurry = this.#quiet = false;
    const dog = setInterval(() => this.#sniff(), 1_000);
    /** @type {Outcome} */
    const outcome = {};
    try {
      const response = await Promise.race([this._request(line.signal), gone]);
      Object.assign(outcome, await Promise.race([this.#judge(response), gone]));
      if (!outcome.why) {
        this.#open(response);
        await Promise.race([this.#read(response, outcome, line.signal), gone]);
        outcome.why = "the stream ended";
        outcome.clean = true;
      }
    } catch (error) {
      outcome.why = broken || this.#explain(error);
      outcome.silent = this.#silent;
    }
    clearInterval(dog);
    outcome.lived = this.#heard - this.#asked;
    outcome.quiet = this.#quiet;
    // Whatever is left of it.
    line.abort();
    return outcome;
  }

  /** @protected @param {AbortSignal} signal @param {boolean} [beside] */
  async _request(signal, beside = false) {
    const { method, body, token, fetch = globalThis.fetch } = this.#options;
    const headers = new Headers(this.#options.headers);
    headers.set("Accept", "text/event-stream");
    if (token) {
      try {
        headers.set("Authorization", `Bearer ${await token()}`);
      } catch (error) {
        throw `no token (${/** @type {Error} */ (error)?.message ?? error})`;
      }
    }
    // A header is bytes: those of UTF-8.
    if (this._cursor) headers.set("Last-Event-ID", unescape(encodeURIComponent(this._cursor)));
    const url = this._url(this.#target, beside);
    if (!beside) {
      // What is asked before is nothing that the network holds back.
      this.#asked = this.#heard = Date.now();
      this.#silence = this._patience ?? this.#silence;
    }
    const credentials = this.withCredentials ? "include" : "same-origin";
    return fetch(url, { method, body, headers, credentials, cache: "no-store", signal });
  }

  /** @param {Response} response @returns {Promise<Outcome>} */
  async #judge(response) {
    const { status, headers } = response;
    if (status !== 200) {
      const heals = !this.#options.strict && /408|425|429|5../.test(/** @type {any} */ (status));
      // Problem details, of RFC 9457.
      const { detail } = await response.json().catch(() => ({}));
      const why = `it was answered ${status}${status === 204 ? ", which means stop" : detail ? `: ${detail}` : ""}`;
      return { fatal: !heals, why, after: later(headers.get("Retry-After")) };
    }
    const type = headers.get("Content-Type") ?? "";
    if (/^\s*text\/event-stream\s*(;|$)/i.test(type)) return {};
    return { fatal: true, why: `the answer is "${type}", not text/event-stream` };
  }

  /** @param {Response} response */
  #open({ url, redirected, headers }) {
    // After a redirect it goes on where it was sent, unless that would take its credentials to others.
    const bare = !this.#options.headers && !this.#options.token && !this.#options.body;
    if (redirected && (bare || new URL(url).origin === new URL(this.url).origin)) this.#target = url;
    this.#heard = Date.now();
    this.#watchdog = this.#options.watchdog ?? 2_000 * Number(headers.get("Eventwall-Heartbeat"));
    this.#silence = this._patience ?? this.#watchdog;
    if (this.readyState === 1) return;
    this.readyState = 1;
    this.reason = "";
    this.#show("live");
    if (this.readyState === 1) this._tell("open");
  }

  /** @param {Response} response @param {Outcome} outcome @param {AbortSignal} signal */
  async #read({ url, body }, outcome, signal) {
    const origin = new URL(url || this.#target).origin;
    const decoder = new Decoder(this._cursor, (ms) => (this.#retry = Math.min(ms, MAX)), this.#options.maxEventSize);
    const reader = body?.getReader();
    for (;;) {
      const { value } = (await reader?.read()) ?? {};
      // A body may outlast its line, and is not to come after what comes now.
      if (!value || signal.aborted) return;
      this.#heard = Date.now();
      this.#silence = this.#watchdog;
      this.#failures = 0;
      outcome.heard = true;
      const { dropped } = decoder;
      for (const event of decoder.feed(value)) {
        this._deliver(event, origin);
        if (signal.aborted) return;
      }
      this._cursor = decoder.lastEventId;
      if (dropped < decoder.dropped) this.#complain("an event above maxEventSize is lost");
    }
  }

  /** @param {Outcome} outcome */
  async #pause({ heard, after = 0 }) {
    // Never sooner than the server likes; after a failure ever longer, half a minute more at last, and spread wide.
    const least = Math.max(200, this.#retry, after);
    const more = heard ? least / 5 : Math.min(30_000, least * 2 ** (this.#failures - 1));
    const ms = this.#hurry ? 0 : Math.min(MAX, least + more * Math.random());
    this.#hurry = false;
    this.#firm = after;
    this.nextTry = Date.now() + ms;
    const woken = this.#sleep(ms);
    this.#show(globalThis.navigator?.onLine === false ? "offline" : this.#asleep ? "paused" : this.#silent ? "stale" : "connecting");
    if (this.readyState === 0) this._tell("error");
    await woken;
    // What the server wants is waited for, though the page may come back before.
    const left = () => (this.#asleep ? MAX : after && !this.#hurry ? Number(this.nextTry) - Date.now() : 0);
    while (this.readyState !== 2 && left() > 0) await this.#sleep(left());
  }

  /** Until then, or until it is interrupted. @param {number} ms */
  #sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#interrupt = () => resolve(clearTimeout(timer));
    });
  }

  /** Notices silence; a timer that slept with its machine is late, and notices, too. */
  #sniff() {
    if (this.#silence && Date.now() - this.#heard > this.#silence) {
      this.#silent = true;
      this.#interrupt(`nothing came for ${Math.round(this.#silence / 1_000)} s`);
    }
  }

  #watchSurroundings() {
    const { signal } = this._page;
    /** @param {string} type @param {() => void} use */
    const on = (type, use) => globalThis.addEventListener?.(type, use, { signal });
    on("online", () => this._wake());
    on("offline", () => this.nextTry || this.#interrupt("no network"));
    // A page that is put aside holds no line.
    on("pagehide", () => this._rest(true));
    on("pageshow", () => this._rest(false));
    on("visibilitychange", () => document.hidden || this._wake());
  }

  /** @param {unknown} error */
  #explain(error) {
    if (typeof error === "string") return error;
    const { location } = globalThis;
    const { origin, protocol } = new URL(this.#target);
    if (location?.protocol === "https:" && protocol === "http:") {
      return "a page over https may load from https only";
    }
    const cause = /** @type {any} */ (error)?.cause?.code ?? /** @type {Error} */ (error)?.message ?? error;
    if (!(error instanceof TypeError) || !location || origin === location.origin) return `it cannot be reached (${cause})`;
    return `it cannot be reached, or has to allow pages of ${location.origin} (CORS)`;
  }

  /** @param {string} what */
  #complain(what) {
    console.warn(`EventSource ${this.#target}: ${what}`);
  }

  /** @param {State} state */
  #show(state) {
    this.state = state;
    this._tell("state");
  }

  /** @protected @param {string} type */
  _tell(type) {
    this.dispatchEvent(new Event(type));
  }
}

/** Milliseconds of a `Retry-After`, which is seconds or a date. @param {any} value */
const later = (value) => Math.min(3_600_000, Math.max(0, 1_000 * value || Date.parse(value) - Date.now()) || 0);
