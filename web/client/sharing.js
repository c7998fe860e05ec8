// @ts-check
// A member of a shared line. It finds the leader or makes one, says what it wants, and knows when what comes
// over the channel joins on to the page's own line without a seam. It never asks the network for anything: as
// long as there is any doubt, the page's own line does.

import { covers, gapIn, isForeign, position } from "./line.js";
import { ASK, EVENTS, JOIN, LEAD, LEAVE, LINE, OVER, PING, TOKEN, WAKE, WELCOME } from "./messages.js";
import { name, Relay } from "./relay.js";

/**
 * @typedef {import("./relay.js").Frame} Frame
 * @typedef {import("./relay.js").Status} Status
 *
 * @typedef {[cursor: string, live: boolean, lost: boolean]} Start of a leader: its cursor, whether it is past all
 *   that was when it began, and whether the hub knew nothing of where it began
 *
 * @typedef {object} Own the page's own line
 * @property {string} lastEventId
 * @property {number} readyState
 * @property {boolean} _confirmed whether the hub has answered it since it last began
 * @property {(live: boolean) => void} _park it ends, and others speak in its place
 * @property {() => void} _resume it goes on from its cursor
 * @property {(status: Status) => void} _mirror
 * @property {(frame: Frame, mine: boolean) => void} _take
 * @property {(() => string | Promise<string>) | undefined} _token
 */

/** Milliseconds between looks at whether the leader is there; after such a silence it is asked. */
const LOOK = 1_000;
const SILENCE = 5_000;
/** Looks in vain, after asking, until it is taken for dead, or until there should be one. */
const MISSES = 3;
/** Frames kept while the page's own line catches up. */
const MOST_WAITING = 10_000;

export class Sharing {
  #id = "";
  #key;
  #topics;
  #worker;
  #own;
  /** @type {BroadcastChannel | undefined} */
  #channel;
  #leader = "";
  /** From its cursor on the leader tells everything. @type {Start} */
  #start = /** @type {any} */ (0);
  /** How the leader's line is. @type {Status} */
  #line = /** @type {any} */ (0);
  /** Whether what its page gets comes from the leader. */
  _shared = false;
  /** @type {Frame[]} */
  #waiting = [];
  #heard = 0;
  #misses = 0;
  /** @type {any} a timer */
  #dog;
  /** Ends its being there. @type {((value?: unknown) => void) | undefined} */
  #gone;
  /** Its lead, or its wait for that. @type {AbortController | undefined} */
  #candidacy;

  /**
   * @param {string} key the line's name
   * @param {string[]} topics
   * @param {string | URL} worker
   * @param {Own} own
   */
  constructor(key, topics, worker, own) {
    this.#key = key;
    this.#topics = topics;
    this.#worker = worker;
    this.#own = own;
  }

  /** The page's own line came further. */
  advance() {
    if (!this.#key || !(position(this.#own.lastEventId) >= 0)) return;
    if (!this.#channel) this.#enter();
    else if (this.#leader) this.#settle();
  }

  /** A wait of the leader's for its next try ends. */
  wake() {
    this.#post(WAKE);
  }

  leave() {
    this.#post(LEAVE);
    this.#gone?.();
    this.#candidacy?.abort();
    this.#candidacy = undefined;
    clearInterval(this.#dog);
    this.#channel?.close();
    this.#channel = undefined;
    this.#goAlone();
  }

  #enter() {
    this.#id = name();
    this.#channel = new BroadcastChannel(this.#key);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#dog = setInterval(() => this.#look(), LOOK);
    // Held as long as this page lives: the leader waits for it, so that it must not be first. Without locks the
    // next look joins.
    const here = () => new Promise((gone) => this.#join((this.#gone = gone)));
    navigator.locks?.request(this.#id, here).catch(() => {});
    this.#employ();
  }

  /** @param {unknown} [_] */
  #join(_) {
    this.#waiting = [];
    this.#leader = "";
    this._shared = false;
    this.#post(JOIN, this.#topics, this.#own.lastEventId);
  }

  /** A worker leads if there can be one. */
  #employ() {
    try {
      new SharedWorker(this.#worker, { type: "module", name: this.#key }).onerror = () => this.#queue();
    } catch {
      this.#queue();
    }
  }

  /** Leads once nobody else does. @param {boolean} [steal] at once, in place of one that is stuck */
  #queue(steal) {
    if ((this.#candidacy && !steal) || !this.#channel) return;
    this.#candidacy?.abort();
    const candidacy = (this.#candidacy = new AbortController());
    void lead(this.#key, candidacy.signal, steal).then(() => {
      if (this.#candidacy === candidacy) this.#candidacy = undefined;
    });
  }

  /** @param {any[]} message */
  #hear([from, type, said, to, ...where]) {
    // There is a new leader, and so the last one is gone.
    if (type === LEAD) return this.#join((this.#misses = 0));
    if (type === WELCOME && !this.#leader && to.includes(this.#id)) this.#begin(from, said, where);
    if (from !== this.#leader) return;
    this.#heard = Date.now();
    this.#misses = 0;
    if (type === EVENTS) for (const frame of said) this.#take(frame);
    if (type === LINE) this.#learn(said);
    // What all want together is refused: from now on each has its own line.
    if (type === OVER) {
      this.#key = "";
      this.leave();
    }
    // Another page may have one; if none has, the leader's try fails.
    if (type === ASK) this.#answer().catch(() => {});
  }

  /** @param {string} leader @param {Status} line @param {any} start */
  #begin(leader, line, start) {
    this.#leader = leader;
    this.#start = start;
    this.#queue();
    this.#learn(line);
    if (!this._shared) this.#own._resume();
  }

  /** @param {Status} line how the leader's is */
  #learn(line) {
    this.#line = line;
    if (this.#settle()) this.#own._mirror(line);
  }

  /** Whether all that the page has not seen comes over the channel. */
  #settle() {
    if (this._shared) return true;
    const [cursor, live, lost] = this.#start;
    const { lastEventId, readyState, _confirmed } = this.#own;
    // Of another epoch an id says nothing, unless the hub knows it.
    const known = _confirmed || (!lost && lastEventId.split("-")[0] === cursor.split("-")[0]);
    // Nor is a line that is well given up for one in trouble.
    const better = readyState && !this.#line.readyState && this.#line.reason;
    if (!known || better || !(position(lastEventId) >= position(cursor))) return false;
    this._shared = true;
    this.#own._park(live);
    for (const frame of this.#waiting.splice(0)) this.#take(frame);
    return this._shared;
  }

  /** @param {Frame} frame */
  #take(frame) {
    const { type, topic } = frame;
    const lost = isForeign(frame);
    if (!this._shared) {
      // What came before says nothing any more.
      if (lost || (!frame.bare && this.#waiting.push(frame) > MOST_WAITING)) this.#join();
      return;
    }
    const here = position(this.#own.lastEventId);
    const ahead = position(frame.lastEventId) - here;
    const gap = type === "eventwall:gap" && gapIn(frame);
    // Of a gap it counts how far it reaches, of what marks a place that it is not behind.
    const isNew = gap ? lost || position(gap.through ?? gap.resumed) > here : ahead > 0 || (ahead === 0 && /^eventwall:[tl]/.test(type));
    if (!isNew && !frame.bare) return;
    const bare = frame.bare || (ahead < 0 && !lost);
    this.#own._take({ ...frame, bare }, topic === undefined || this.#topics.some((wanted) => covers(wanted, topic)));
  }

  #look() {
    if (this.#leader && Date.now() - this.#heard < SILENCE) return;
    const hopeless = (this.#misses += 1) > MISSES;
    if (this.#leader) return hopeless ? this.#replace() : this.#post(PING);
    // What was said may have been said before anybody listened.
    this.#join();
    if (!hopeless) return;
    this.#goAlone();
    this.#queue();
  }

  /** The leader does not answer: whoever is quickest takes its place. */
  #replace() {
    this.#goAlone();
    setTimeout(() => {
      if (this.#leader || !this.#channel) return;
      if (navigator.locks) this.#queue(true);
      else this.#employ();
    }, LOOK * Math.random());
  }

  #goAlone() {
    this.#leader = "";
    this._shared = false;
    this.#own._resume();
  }

  async #answer() {
    const token = await this.#own._token?.();
    if (token) this.#post(TOKEN, token);
  }

  /** @param {any[]} message what it is, and what it says */
  #post(...message) {
    this.#channel?.postMessage([this.#id, ...message]);
  }
}

/**
 * Leads as long as nobody takes the lead away; without locks there is but one that could, a worker.
 * @param {string} key
 * @param {AbortSignal} [signal] ends it, and the wait for it
 * @param {boolean} [steal] from one that is stuck
 */
export async function lead(key, signal, steal) {
  /** @type {Relay | undefined} */
  let relay;
  /** @param {(value?: unknown) => void} resolve */
  const until = (resolve) => {
    if (signal?.aborted) return resolve();
    relay = new Relay(key);
    signal?.addEventListener("abort", resolve);
  };
  // Neither a refusal nor a theft is anything to tell.
  if (navigator.locks) await navigator.locks.request(key, steal ? { steal } : { signal }, () => new Promise(until)).catch(() => {});
  else if (!globalThis.document) await new Promise(until);
  relay?.close();
}
