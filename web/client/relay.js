// @ts-check
// The leader of a shared line: it holds the one stream, of all topics that its members want, and tells
// everything to all of them over a channel. What of it is whose, and new to whom, the members know.
// It lives in a SharedWorker or in one of the pages, and ends with it at any moment: nothing depends on its last word.

import { Ladder } from "./ladder.js";
import { isForeign, lineOf, position, PREFIX } from "./line.js";
import { ASK, EVENTS, JOIN, LEAD, LEAVE, LINE, OVER, PING, TOKEN, WAKE, WELCOME } from "./messages.js";

/**
 * @typedef {import("./decoder.js").Decoded & { bare?: boolean }} Frame `bare`: it is ephemeral, and has no id
 * @typedef {Pick<Ladder, typeof STATUS[number]>} Status
 */

/** Milliseconds in which those that its forerunner left may come, so that it begins where all of them can go on. */
const GRACE = 200;
/** What there is to tell of the line. */
const STATUS = /** @type {const} */ (["readyState", "state", "nextTry", "reason", "polling"]);

export class Relay {
  #id = name();
  #channel;
  #line;
  /** @type {Map<string, [topics: string[], cursor: string]>} */
  #members = new Map();
  #begun = false;
  /** @type {Upstream | undefined} */
  #upstream;
  /** @type {Frame[]} */
  #batch = [];
  /** It is past all that was when it began. */
  #live = false;
  /** The hub knew nothing of where it began. */
  #lost = false;
  #end = new AbortController();
  /** @type {((token: string) => void)[]} */
  #answers = [];

  /** @param {string} key the line's name */
  constructor(key) {
    this.#line = lineOf(key);
    this.#channel = new BroadcastChannel(key);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#say(LEAD);
    setTimeout(() => {
      this.#begun = true;
      this.#tune();
    }, GRACE);
  }

  close() {
    this.#members.clear();
    this.#end.abort();
    this.#channel.close();
    this.#upstream?.close();
  }

  /** @param {any[]} message */
  #hear([from, type, said, cursor]) {
    if (type === JOIN) this.#join(from, said, cursor);
    if (type === LEAVE) this.#drop(from);
    if (type === TOKEN) for (const answer of this.#answers.splice(0)) answer(said);
    if (type === PING) this.#say(LINE, this.#status);
    if (type === WAKE) this.#upstream?._wake();
  }

  /** @param {string} from @param {string[]} topics @param {string} cursor */
  #join(from, topics, cursor) {
    // Who has this lock is there; so it is to be had once its page is gone, in whatever way.
    const { signal } = this.#end;
    if (!this.#members.has(from)) navigator.locks?.request(from, { signal }, () => this.#drop(from)).catch(() => {});
    this.#members.set(from, [topics, cursor]);
    // Its page may have heard of the hub just now.
    this.#upstream?._wake();
    this.#tune();
  }

  /** @param {string} from */
  #drop(from) {
    this.#members.delete(from);
    this.#tune();
  }

  /** What is followed is what somebody wants; from the cursor on that is told, its members get everything. */
  #tune() {
    if (!this.#begun) return;
    const members = [...this.#members.values()];
    const topics = [...new Set(members.flatMap(([topics]) => topics))];
    if (!topics.length) return this.#hangUp();
    this.#upstream ??= this.#call(topics, members.map(([, cursor]) => cursor).sort((a, b) => position(a) - position(b))[0]);
    this.#upstream.retune(topics);
    this.#say(WELCOME, this.#status, [...this.#members.keys()], this.#upstream.lastEventId, this.#live, this.#lost);
  }

  /** @param {string[]} topics @param {string | undefined} lastEventId */
  #call(topics, lastEventId) {
    const [url, options, asks] = this.#line;
    const token = asks ? () => this.#ask() : undefined;
    const upstream = new Upstream(url, { ...options, token, lastEventId }, topics, (frame) => this.#take(frame));
    upstream.addEventListener("state", () => upstream === this.#upstream && this.#tell());
    this.#live = this.#lost = false;
    return upstream;
  }

  #hangUp() {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    upstream?.close();
  }

  #tell() {
    this.#live &&= this.#upstream?.state === "live";
    if (this.#upstream?.readyState !== 2) return this.#say(LINE, this.#status);
    // Why it was refused each of them finds out for itself.
    this.#members.clear();
    this.#hangUp();
    this.#say(OVER);
  }

  get #status() {
    return Object.fromEntries(STATUS.map((name) => [name, this.#upstream?.[name]]));
  }

  /** @param {Frame} frame */
  #take(frame) {
    this.#live ||= frame.type === "eventwall:live";
    this.#lost ||= isForeign(frame);
    if (this.#batch.push(frame) > 1) return;
    queueMicrotask(() => this.#say(EVENTS, this.#batch.splice(0)));
  }

  /** Whoever has a token; the try takes no longer than any. @returns {Promise<string>} */
  #ask() {
    this.#say(ASK);
    return new Promise((resolve) => this.#answers.push(resolve));
  }

  /** @param {any[]} message what it is, and what it says */
  #say(...message) {
    if (!this.#end.signal.aborted) this.#channel.postMessage([this.#id, ...message]);
  }
}

class Upstream extends Ladder {
  #topics;
  #use;

  /** @param {string} url @param {import("./ladder.js").Options} options @param {string[]} topics @param {(frame: Frame) => void} use */
  constructor(url, options, topics, use) {
    super(url, options);
    this.#topics = topics;
    this.#use = use;
  }

  /** Goes on with these topics from where it is. @param {string[]} topics */
  retune(topics) {
    const same = topics.join("\n") === this.#topics.join("\n");
    this.#topics = topics;
    // The next try will ask for them.
    if (!same && !this.nextTry) this._renew();
  }

  /** @override @param {string} target @param {boolean} beside */
  _url(target, beside) {
    const url = new URL(super._url(target, beside));
    url.searchParams.delete("topic");
    for (const topic of this.#topics) url.searchParams.append("topic", topic);
    return url.href;
  }

  /** @override @param {Frame} frame */
  _deliver(frame) {
    const bare = frame.lastEventId === this.lastEventId && !frame.type.startsWith("eventwall:");
    this._cursor = frame.lastEventId;
    this.#use({ ...frame, bare });
  }
}

/** One that nobody else has. */
export const name = () => PREFIX + Math.random();
