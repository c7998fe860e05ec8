// @ts-check
// EventSource as the HTML standard has it, over fetch, with what the browser's own lacks: headers, any method,
// tokens, a cursor to begin with, a watchdog, backoff, retries, a state to show, and the reason of an error.

import { Decoder } from "./decoder.js";

/**
 * @typedef {"connecting" | "live" | "stale" | "offline" | "closed"} State
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
 * @property {number} [after] milliseconds that the server wants to be left alone
 */

const RETRY = 3_000;
const PATIENCE = 30_000;
const [SHORTEST, LONGEST] = [200, 30_000];
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
  #retry = RETRY;
  #failures = 0;
  #lastEventId;
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
  /** Ends the request, or the wait for the next. @type {(why?: string) => void} */
  #interrupt = () => {};
  /** Ends its listening to the page. */
  #page = new AbortController();

  /** @param {string | URL} url @param {Options} [options] */
  constructor(url, options = {}) {
    super();
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    try {
      this.url = this.#target = new URL(url, base).href;
    } catch {
      throw new DOMException(`${url} is no URL`, "SyntaxError");
    }
    this.#options = options;
    this.withCredentials = Boolean(options.withCredentials);
    this.#lastEventId = options.lastEventId ?? "";
    for (const type of /** @type {const} */ (["open", "message", "error"])) {
      this.addEventListener(type, (event) => this[`on${type}`]?.(/** @type {any} */ (event)));
    }
    this.#watchSurroundings();
    // Listeners come first.
    queueMicrotask(() => void this.#run());
  }

  /** The cursor: where the next request goes on. */
  get lastEventId() {
    return this.#lastEventId;
  }

  close() {
    if (this.readyState === 2) return;
    this.readyState = 2;
    this.nextTry = undefined;
    this.#page.abort();
    this.#interrupt();
    this.#show("closed");
  }

  /** Drops the line, and takes a new one at once. */
  restart() {
    this.#hurry = true;
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

  /** @protected whether the next request follows at once, without a word @param {Outcome} _ */
  _goesOn(_) {
    return false;
  }

  async #run() {
    while (this.readyState !== 2) {
      const outcome = await this.#attempt();
      if (this.readyState === 2) return;
      if (!outcome.fatal && this._goesOn(outcome)) continue;
      this.reason = outcome.why ?? "";
      if (outcome.fatal) {
        this.close();
        this.#tell("error");
        return this.#complain(`${this.reason}; it is not tried again`);
      }
      if (!outcome.heard && (this.#failures += 1) === 1) this.#complain(`${this.reason}; it is tried again`);
      this.readyState = 0;
      await this.#pause(outcome);
    }
  }

  /** @returns {Promise<Outcome>} */
  async #attempt() {
    if (!/^http/.test(this.#target)) return { fatal: true, why: "it is not http" };
    const line = new AbortController();
    let broken = "";
    /** @type {Promise<never>} */
    const gone = new Promise((_, reject) => {
      this.#interrupt = (why = "it was restarted") => {
        broken = why;
        line.abort();
        reject();
      };
    });
    gone.catch(() => {});
    this.#asked = this.#heard = Date.now();
    this.#silence = this.#options.patience ?? PATIENCE;
    this.#silent = this.#hurry = false;
    const dog = setInterval(() => this.#sniff(), 1_000);
    /** @type {Outcome} */
    let outcome = { heard: false };
    try {
      const response = await Promise.race([this._request(line.signal), gone]);
      Object.assign(outcome, this.#judge(response));
      if (!outcome.why) {
        this.#open(response);
        await this.#read(response, outcome);
        outcome.why = "the stream ended";
        outcome.clean = true;
      }
    } catch (error) {
      outcome.why = broken || this.#explain(error);
      outcome.silent = this.#silent;
    }
    clearInterval(dog);
    outcome.lived = this.#heard - this.#asked;
    // Whatever is left of it.
    line.abort();
    return outcome;
  }

  /** @protected @param {AbortSignal} signal @param {boolean} [beside] */
  async _request(signal, beside = false) {
    const { method, body, token, fetch = globalThis.fetch } = this.#options;
    const headers = new Headers(this.#options.headers);
    headers.set("Accept", "text/event-stream");
    if (token) headers.set("Authorization", `Bearer ${await token()}`);
    if (this.#lastEventId) {
      try {
        // A header is bytes: those of UTF-8.
        headers.set("Last-Event-ID", String.fromCharCode(...new TextEncoder().encode(this.#lastEventId)));
      } catch {
        this.#complain("no header fits its id");
      }
    }
    const credentials = this.withCredentials ? "include" : "same-origin";
    const url = this._url(this.#target, beside);
    if (!beside) {
      // What is asked before is nothing that the network holds back.
      this.#asked = this.#heard = Date.now();
      this.#silence = this._patience ?? this.#silence;
    }
    return fetch(url, { method, body, headers, credentials, cache: "no-store", signal });
  }

  /** @param {Response} response @returns {Outcome} */
  #judge({ status, headers }) {
    if (status !== 200) {
      const heals = !this.#options.strict && /408|425|429|5../.test(/** @type {any} */ (status));
      const why = `it was answered ${status}${status === 204 ? ", which means stop" : ""}`;
      return { fatal: !heals, why, after: later(headers.get("Retry-After")) };
    }
    const type = headers.get("Content-Type");
    if (/^\s*text\/event-stream\s*(;|$)/i.test(type ?? "")) return {};
    return { fatal: true, why: `the answer is ${type || "of no type"}, not text/event-stream` };
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
    if (this.readyState === 1) this.#tell("open");
  }

  /** @param {Response} response @param {Outcome} outcome */
  async #read({ url, body }, outcome) {
    const origin = new URL(url || this.#target).origin;
    const decoder = new Decoder(this.#lastEventId, (ms) => (this.#retry = Math.min(ms, MAX)), this.#options.maxEventSize);
    const reader = body?.getReader();
    for (;;) {
      const { value } = (await reader?.read()) ?? {};
      if (!value) return;
      this.#heard = Date.now();
      this.#silence = this.#watchdog;
      this.#failures = 0;
      outcome.heard = true;
      const { dropped } = decoder;
      for (const { type, data, lastEventId, topic } of decoder.feed(value)) {
        if (this.readyState === 2) return;
        this.#lastEventId = lastEventId;
        const event = new MessageEvent(type, { data, lastEventId, origin });
        this.dispatchEvent(topic === undefined ? event : Object.assign(event, { topic }));
      }
      this.#lastEventId = decoder.lastEventId;
      if (dropped < decoder.dropped) this.#complain("an event above maxEventSize is lost");
    }
  }

  /** @param {Outcome} outcome */
  async #pause({ heard, after = 0 }) {
    // Never sooner than the server likes; after a failure ever longer, and spread wide.
    const least = Math.max(SHORTEST, this.#retry, after);
    const more = heard ? least / 5 : Math.min(LONGEST, least * 2 ** this.#failures);
    const ms = this.#hurry ? 0 : Math.min(MAX, least + more * Math.random());
    this.#firm = after;
    this.nextTry = Date.now() + ms;
    const woken = this.#sleep(ms);
    this.#show(globalThis.navigator?.onLine === false ? "offline" : this.#silent ? "stale" : "connecting");
    if (this.readyState === 0) this.#tell("error");
    await woken;
    while (this.#asleep && this.readyState !== 2) await this.#sleep(MAX);
    this.nextTry = undefined;
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
    const { signal } = this.#page;
    /** @param {string} type @param {() => void} use */
    const on = (type, use) => globalThis.addEventListener?.(type, use, { signal });
    const awake = () => (this.nextTry ? this.#firm || this.#interrupt() : this.#sniff());
    on("online", awake);
    on("offline", () => this.nextTry || this.#interrupt("the network is gone"));
    // A page that is put aside holds no line; one that comes back takes it up again.
    on("pagehide", () => {
      this.#asleep = true;
      this.#interrupt("the page rests");
    });
    on("pageshow", () => {
      this.#asleep = false;
      awake();
    });
    on("visibilitychange", () => document.hidden || awake());
  }

  /** @param {unknown} error */
  #explain(error) {
    const { location } = globalThis;
    const { origin, protocol } = new URL(this.#target);
    if (location?.protocol === "https:" && protocol === "http:") {
      return "a page over https may load from https only";
    }
    const cause = error instanceof Error ? (/** @type {any} */ (error.cause)?.code ?? error.message) : error;
    // What is no failure of `fetch` is one of the token's.
    if (!(error instanceof TypeError) || !location || origin === location.origin) return `it cannot be reached (${cause})`;
    return `it cannot be reached, or has to allow pages of ${location.origin} (CORS)`;
  }

  /** @param {string} what */
  #complain(what) {
    console.warn(`EventSource ${this.#target}: ${what}.`);
  }

  /** @param {State} state */
  #show(state) {
    this.state = state;
    this.#tell("state");
  }

  /** @param {string} type */
  #tell(type) {
    this.dispatchEvent(new Event(type));
  }
}

/** Milliseconds of a `Retry-After`. @param {string | null} value */
function later(value) {
  const seconds = Number(value);
  const ms = Number.isNaN(seconds) ? Date.parse(String(value)) - Date.now() : 1_000 * seconds;
  return Math.min(3_600_000, ms || 0);
}
