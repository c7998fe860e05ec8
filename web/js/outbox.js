// @ts-check
// Owns posts on their way to the wall: each is sent once, in order, however often that has to be tried, and kept
// over reloads until it is there. It must never show one.

import { Backoff } from "./backoff.js";
import { FIELDS } from "./draft.js";
import { nap } from "./nap.js";
import { postsUrl, wall } from "./page.js";
import { ask, isRecord, readJson } from "./wire.js";
import { say } from "./words.js";

/**
 * @typedef {import("./draft.js").Draft} Draft
 * @typedef {import("./draft.js").DraftKind} DraftKind
 * @typedef {import("./wire.js").Answer} Answer
 * @typedef {"sending" | "waiting" | "sent" | "failed"} Stage
 * @typedef {{ key: string, kind: DraftKind, draft: Draft, at: string, stage: Stage, id?: string, reason?: string }} Parcel
 *
 * @typedef {object} Hooks
 * @property {(parcels: Parcel[]) => void} onChange
 * @property {(parcel: Parcel, body: unknown) => void} onSent
 * @property {(id: string) => boolean} isThere whether the wall has that post already
 * @property {(parcel: Parcel, answer: Answer) => boolean} onRefused whether somebody else keeps its words now
 */

const PREFIX = `eventwall:post:${encodeURIComponent(wall)}:`;
/** The hub knows a key for a day: what was tried before might be there twice if it were tried again. */
const KNOWN_FOR = 23 * 3_600_000;
/** What is not for the post to mend: its turn comes later. */
const LATER = new Set([408, 425, 429, 500, 502, 503, 504, 507]);

export class Outbox {
  /** In the order of their writing. @type {Map<string, Parcel>} */
  #parcels = new Map();
  #hooks;
  #backoff = new Backoff();
  #sending = false;
  #awake = new AbortController();

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    for (const parcel of stored()) this.#parcels.set(parcel.key, parcel);
    this.#changed();
    void this.#send();
  }

  /** @param {DraftKind} kind @param {Draft} draft */
  add(kind, draft) {
    const at = new Date().toISOString();
    const waits = [...this.#parcels.values()].some(({ stage }) => stage === "waiting");
    /** @type {Parcel} */
    const parcel = { key: newKey(), kind, draft, at, stage: waits ? "waiting" : "sending" };
    this.#parcels.set(parcel.key, parcel);
    keep(parcel);
    this.#changed();
    void this.#send();
  }

  /** @param {string} key */
  discard(key) {
    this.#parcels.delete(key);
    forget(key);
    this.#changed();
  }

  /** It is on the wall. @param {string} id */
  arrived(id) {
    for (const [key, parcel] of this.#parcels) if (parcel.id === id) this.discard(key);
  }

  /** The line is up: what waits need not wait longer. */
  wake() {
    this.#awake.abort();
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (let next = this.#next(); next; next = this.#next()) await this.#deliver(next);
    } finally {
      this.#sending = false;
    }
  }

  #next() {
    return [...this.#parcels.values()].find(({ stage }) => stage === "sending" || stage === "waiting");
  }

  /** @param {Parcel} parcel */
  async #deliver(parcel) {
    const { kind, draft, key } = parcel;
    // Another tab may have sent it, or its writer taken it back there.
    if (wasKept(parcel) && !isKept(key)) return this.discard(key);
    if (Date.now() - Date.parse(parcel.at) > KNOWN_FOR) return this.#giveUp(parcel);
    parcel.stage = "sending";
    const headers = { "Content-Type": "application/json", Accept: "application/json", "Idempotency-Key": key };
    const body = JSON.stringify({ kind, ...draft });
    const answer = await ask(postsUrl, { method: "POST", headers, body }).catch(() => undefined);
    if (!this.#parcels.has(key)) return;
    // An answer that is no answer of a wall's is of a network that wants something else first.
    const id = answer?.status === 201 && isRecord(answer.body) && answer.body.id;
    if (!answer || (answer.ok && !id) || LATER.has(answer.status)) return this.#wait();
    this.#backoff.reset();
    if (id) this.#arrive(parcel, String(id), answer.body);
    else if (this.#hooks.onRefused(parcel, answer)) this.discard(key);
    else this.#changed();
  }

  async #wait() {
    // Those behind it wait, too.
    for (const each of this.#parcels.values()) if (each.stage === "sending") each.stage = "waiting";
    this.#changed();
    this.#awake = new AbortController();
    await nap(this.#backoff.next(), this.#awake.signal);
  }

  /** @param {Parcel} parcel */
  #giveUp(parcel) {
    parcel.stage = "failed";
    parcel.reason = say("stage.old");
    this.#changed();
  }

  /** @param {Parcel} parcel @param {string} id @param {unknown} body */
  #arrive(parcel, id, body) {
    parcel.stage = "sent";
    parcel.id = id;
    // It needs no keeping: what comes again after a reload is the post itself.
    forget(parcel.key);
    this.#hooks.onSent(parcel, body);
    if (this.#hooks.isThere(id)) this.discard(parcel.key);
    else this.#changed();
  }

  #changed() {
    this.#hooks.onChange([...this.#parcels.values()]);
  }
}

/** Not `randomUUID`, which pages from plain http do not have. */
function newKey() {
  const words = crypto.getRandomValues(new Uint32Array(4));
  return [...words].map((word) => word.toString(36)).join("-");
}

// A browser may keep nothing for a page: then a reload loses what is on its way, as it always did.
/** @param {Parcel} parcel */
function keep(parcel) {
  try {
    localStorage.setItem(PREFIX + parcel.key, JSON.stringify(parcel));
    kept.add(parcel.key);
  } catch {
    // Said above.
  }
}

/** Keys of what was kept. @type {Set<string>} */
const kept = new Set();

/** @param {Parcel} parcel */
const wasKept = ({ key }) => kept.has(key);

/** @param {string} key */
const isKept = (key) => localStorage.getItem(PREFIX + key) !== null;

/** @param {string} key */
function forget(key) {
  try {
    localStorage.removeItem(PREFIX + key);
  } catch {
    // Said above.
  }
}

/** @returns {Parcel[]} in the order of their writing */
function stored() {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
    const parcels = keys.map((key) => readJson(localStorage.getItem(key) ?? "")).filter(isParcel);
    for (const { key } of parcels) kept.add(key);
    return parcels.sort((a, b) => (a.at < b.at ? -1 : 1));
  } catch {
    return [];
  }
}

/** @param {unknown} value @returns {value is Parcel} */
function isParcel(value) {
  if (!isRecord(value) || !isRecord(value.draft) || !Object.hasOwn(FIELDS, String(value.kind))) return false;
  return ["key", "at"].every((name) => typeof value[name] === "string");
}
