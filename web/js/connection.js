// @ts-check
// Owns following the wall: with the hub's own client, which shares one line with all other tabs, or without it,
// should it not load. It must never show a post itself.

import { CHANGES, tellChange } from "./change.js";
import { Stock } from "./stock.js";

/**
 * @typedef {"connecting" | "live" | "reconnecting" | "stale" | "offline"} State
 * @typedef {object} Hooks
 * @property {(cursor: string) => string} url
 * @property {string[]} events names of the events that carry posts
 * @property {(data: string) => void} onEvent
 * @property {(change: import("./change.js").Change) => void} onChange of a post that is there
 * @property {(data: string) => void} onGap
 * @property {(state: State, nextTry?: number) => void} onState
 *
 * @typedef {import("../client/eventwall.js").Eventwall} Eventwall
 */

const CLIENT = "/eventwall.js";
/** Where scripts need a policy (Trusted Types), that of the worker that holds the line has this one. */
const POLICY = "eventwall";
/** Milliseconds until a line that was refused for good is asked for again: the hub may be set otherwise by then. */
const REFUSED = 30_000;

/**
 * @param {string} cursor where the history page ended
 * @param {Hooks} hooks
 */
export async function follow(cursor, hooks) {
  hooks.onState("connecting");
  try {
    const { Eventwall } = await import(CLIENT);
    const worker = trusted();
    open((url) => new Eventwall(url, { share: true, worker }), cursor, hooks);
  } catch {
    new Stock(cursor, hooks);
  }
}

/** The worker's script, as the page's policy wants it named. */
function trusted() {
  /** @type {{ trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): string } } }} */
  const { trustedTypes } = /** @type {any} */ (globalThis);
  return trustedTypes?.createPolicy(POLICY, { createScriptURL: () => CLIENT }).createScriptURL("") ?? CLIENT;
}

/**
 * @param {(url: string) => Eventwall} make
 * @param {string} cursor
 * @param {Hooks} hooks
 */
function open(make, cursor, hooks) {
  const source = make(hooks.url(cursor));
  /** @param {string} name @param {(data: string) => void} use */
  const on = (name, use) =>
    source.addEventListener(name, (event) => use(/** @type {MessageEvent} */ (event).data));
  for (const name of hooks.events) on(name, hooks.onEvent);
  for (const name of CHANGES) on(name, (data) => tellChange(name, data, hooks.onChange));
  on("eventwall:gap", hooks.onGap);
  let begun = false;
  source.addEventListener("state", () => {
    if (source.state === "closed") return later(() => open(make, source.lastEventId || cursor, hooks), hooks);
    begun ||= source.state === "live";
    hooks.onState(stateOf(source, begun), source.nextTry);
  });
}

/** @param {() => void} again @param {Hooks} hooks */
function later(again, hooks) {
  hooks.onState("reconnecting", Date.now() + REFUSED);
  setTimeout(again, REFUSED);
}

/**
 * @param {Eventwall} source
 * @param {boolean} begun it was live before
 * @returns {State}
 */
function stateOf({ state }, begun) {
  if (state === "live" || state === "stale" || state === "offline") return state;
  return begun ? "reconnecting" : "connecting";
}
