// @ts-check
// Owns what is on the screen: new posts one after the other, each long enough to be seen, however many come; and
// in quiet times a slow walk through what is there. It never talks to the network.

import { cardIn, cardOf } from "./card.js";
import { byId, say } from "./dom.js";
import { sayCount } from "./words.js";

/** @typedef {import("./post.js").Post} Post */

/** Posts kept on the screen, seen or below its edge. */
const MOST = 24;
/** Milliseconds that a post is the newest at least, and so long when others wait. */
const [CALM, BUSY] = [1_200, 600];
/** So many wait in turn; of more than that the newest are shown, and the others counted. */
const QUEUE = 6;
/** For so long the count of the others stands there. */
const MORE_FOR = 5_000;
/** Without news for so long the screen walks through what is below its edge: so many pixels a second. */
const QUIET = 20_000;
const SPEED = 24;

export class Board {
  #list;
  #more = byId("more", HTMLElement);
  /** @type {Post[]} */
  #queue = [];
  #skipped = 0;
  #timer = 0;
  #moreTimer = 0;
  #lastNews = Date.now();
  #hold;
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  /** What of a pixel the walk has gone. */
  #rest = 0;

  /** @param {HTMLElement} list @param {import("./hold.js").Hold} hold */
  constructor(list, hold) {
    this.#list = list;
    this.#hold = hold;
    hold.addEventListener("end", () => this.#goOn());
    this.#walk(performance.now());
  }

  /** @param {Post} post */
  add(post) {
    this.#queue.push(post);
    // Who holds it still wants to see it all, as far as there is room.
    if (this.#queue.length > (this.#hold.on ? MOST : QUEUE)) {
      this.#queue.shift();
      this.#skipped += 1;
      if (!this.#hold.on) this.#showMore();
    }
    this.#timer ||= setTimeout(() => this.#next(), 0);
  }

  /** @param {Post} post */
  replace(post) {
    this.#queue = this.#queue.map((other) => (other.id === post.id ? post : other));
    cardIn(this.#list, post.id)?.replaceWith(cardOf(post));
  }

  /** @param {string} id */
  remove(id) {
    this.#queue = this.#queue.filter((post) => post.id !== id);
    cardIn(this.#list, id)?.remove();
    this.#describe();
  }

  /** When a post was made, if it is here. @param {string} id */
  timeOf(id) {
    return this.#queue.find((post) => post.id === id)?.time ?? cardIn(this.#list, id)?.querySelector("time")?.dateTime;
  }

  #goOn() {
    if (this.#skipped > 0) this.#showMore();
    this.#next();
  }

  #next() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#hold.on) return;
    const post = this.#queue.shift();
    if (!post) return;
    this.#lastNews = Date.now();
    this.#put(post);
    this.#timer = setTimeout(() => this.#next(), this.#queue.length > 1 ? BUSY : CALM);
  }

  /** @param {Post} post */
  #put(post) {
    if (cardIn(this.#list, post.id)) return;
    const card = cardOf(post);
    card.classList.add("fresh");
    this.#list.scrollTop = 0;
    this.#list.prepend(card);
    for (const old of [...this.#list.children].slice(MOST)) old.remove();
    this.#describe();
  }

  #describe() {
    byId("nothing", HTMLElement).hidden = this.#list.childElementCount > 0;
  }

  #showMore() {
    const said = this.#skipped;
    say(this.#more, sayCount("screen.more", said));
    this.#more.hidden = false;
    clearTimeout(this.#moreTimer);
    this.#moreTimer = setTimeout(() => {
      this.#skipped -= said;
      this.#more.hidden = true;
    }, MORE_FOR);
  }

  /** Down through what is there, and up again; not for who wants no motion. @param {number} before */
  #walk(before) {
    requestAnimationFrame((now) => {
      const quiet = Date.now() - this.#lastNews > QUIET && !this.#still.matches && !this.#hold.on;
      if (quiet) this.#step((SPEED * Math.min(100, now - before)) / 1_000);
      this.#walk(now);
    });
  }

  /** @param {number} pixels */
  #step(pixels) {
    const list = this.#list;
    this.#rest += pixels;
    const whole = Math.floor(this.#rest);
    this.#rest -= whole;
    const end = list.scrollTop + list.clientHeight >= list.scrollHeight - 1;
    if (end && list.scrollTop > 0) {
      // It rests there as long as anywhere, and begins anew.
      this.#lastNews = Date.now();
      list.scrollTo({ top: 0, behavior: "smooth" });
    } else if (whole > 0) list.scrollTop += whole;
  }
}
