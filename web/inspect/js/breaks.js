// @ts-check
// Owns the list of the line's breaks and what came after each; never judges what came.

import { byId, cloneOf, part, say } from "../../js/dom.js";
import { count, exactTime, some, span } from "./words.js";

/** @typedef {import("./account.js").Account} Account */

const MOST = 20;

export class Breaks {
  #list = byId("breaks", HTMLElement);
  #empty = byId("breaks-empty", HTMLElement);
  /** The rows still to be drawn again. @type {Map<Account, HTMLElement>} */
  #open = new Map();

  clear() {
    this.#open.clear();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  /** @param {Account} account */
  add(account) {
    const row = cloneOf("break-template");
    this.#open.set(account, row);
    this.#list.prepend(row);
    this.#empty.hidden = true;
    for (const old of [...this.#list.children].slice(MOST)) old.remove();
    this.draw();
  }

  draw() {
    for (const [account, row] of this.#open) {
      fill(row, account);
      if (account.over) this.#open.delete(account);
    }
  }
}

/** @param {HTMLElement} row @param {Account} account */
function fill(row, account) {
  const time = part(row, "time", HTMLTimeElement);
  time.dateTime = new Date(account.at).toISOString();
  say(time, exactTime(account.at));
  row.dataset.state = account.gap ? "gap" : account.over ? "over" : "open";
  say(part(row, ".break-why", Element), account.why);
  say(part(row, ".break-left", Element), account.cursor || "no id yet");
  say(part(row, ".break-back", Element), backOf(account));
  say(part(row, ".break-came", Element), account.waiting ? "–" : cameOf(account));
  say(part(row, ".break-gap", Element), account.waiting ? "–" : gapOf(account));
}

/** @param {Account} account */
function backOf({ at, backAt, failures, broken, waiting }) {
  const tries = failures > 0 ? `, ${some(failures, "try failed", "tries failed")}` : "";
  if (waiting) return `not yet${tries}`;
  if (backAt === 0) return `never${tries}`;
  return `${exactTime(backAt)}, after ${span(backAt - at)}${tries}${broken ? "; broke again before it was live" : ""}`;
}

/** @param {Account} account */
function cameOf({ replayed, first, last, over, again }) {
  const so = over ? "" : " so far";
  if (replayed === 0) return over ? "nothing, for nothing was missed" : "nothing so far";
  const ids = replayed === 1 ? first : `${first} to ${last}`;
  return `${some(replayed, "event")}${so}: ${ids}, ${again === 0 ? "each once" : `${count(again)} AGAIN`}`;
}

/** @param {Account} account */
function gapOf({ gap, over }) {
  if (!gap) return over ? "none" : "none so far";
  return `${gap.reason ?? "unknown"}: after ${gap.after ?? "?"}, resumed at ${gap.resumed ?? "?"}${gap.through ? `, lost as far as ${gap.through}` : ""}`;
}
