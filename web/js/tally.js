// @ts-check
// Owns the number of posts on the wall: what the server counted, and what came or went since.

import { byId, say } from "./dom.js";
import { postsUrl } from "./page.js";
import { ask, isRecord } from "./wire.js";
import { sayCount } from "./words.js";

/** Between two looks at the server's count: only it knows what grew too old. */
const REFRESH = 60_000;

export class Tally {
  #place = byId("counts", HTMLElement);
  /** Not a number until it is known. */
  #posts = Number(this.#place.dataset.posts || NaN);
  /** The position up to which all are counted. */
  #upto = Number(this.#place.dataset.upto || 0);

  /** @param {boolean} [refreshes] as on a screen, which nobody reloads */
  constructor(refreshes = false) {
    if (!refreshes) return;
    void this.#refresh();
    setInterval(() => void this.#refresh(), REFRESH);
  }

  /** @param {string} id */
  add(id) {
    if (Number(id.split("-")[1]) > this.#upto) this.#set(this.#posts + 1);
  }

  remove() {
    this.#set(Math.max(0, this.#posts - 1));
  }

  async #refresh() {
    const answer = await ask(`${postsUrl}?count=1`, { headers: { Accept: "application/json" } }).catch(() => undefined);
    const counts = answer?.ok && isRecord(answer.body) ? answer.body.counts : undefined;
    if (!isRecord(counts)) return;
    this.#upto = Number(counts.upto);
    this.#set(Number(counts.posts));
  }

  /** @param {number} posts */
  #set(posts) {
    this.#posts = posts;
    if (posts >= 0) say(this.#place, sayCount("counts", posts));
  }
}
