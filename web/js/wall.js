// @ts-check
// Owns which posts are on the wall, each exactly once; never talks to the network.

import { Announcer } from "./announcer.js";
import { byId } from "./dom.js";
import { Feed } from "./feed.js";
import { Held } from "./held.js";
import { Hold } from "./hold.js";
import { readPost } from "./post.js";
import { choose, rove } from "./rove.js";
import { isAway, onScroll, toTop } from "./scroll.js";
import { Title } from "./title.js";

/**
 * @typedef {import("./feed.js").Entry} Entry
 * @typedef {import("./wire.js").Gap} Gap
 * @typedef {import("./wire.js").WireEvent} WireEvent
 * @typedef {import("./change.js").Now} Now
 */

// Posts of one breath are laid out together; nobody sees so short a wait.
const BREATH = 16;
/** Changes of posts that are not here that are kept in mind. */
const MOST_FATES = 1_000;

export class Wall {
  #list = byId("posts", HTMLElement);
  #feed = new Feed(this.#list);
  #held = new Held(() => this.#showHeld());
  #hold = new Hold();
  #title = new Title();
  #announcer = new Announcer();
  /** Ids of every post shown or waiting: as bounded as those are. @type {Set<string>} */
  #ids = new Set();
  /** @type {Entry[]} */
  #arriving = [];
  /** What was told of posts that were not here; of those that are gone, nothing. @type {Map<string, Now | undefined>} */
  #fates = new Map();
  #oldest = "";
  #gapOnTop = false;
  #onChange;

  /** @param {(trimmed: boolean) => void} onChange called after the list has changed */
  constructor(onChange) {
    this.#onChange = onChange;
    rove(this.#list);
    this.#hold.addEventListener("end", () => isAway() || this.#release());
    onScroll(() => this.#held.empty || this.#hold.on || isAway() || this.#release());
  }

  /** Takes over what the server put there. @param {string} oldest before which it goes on */
  adopt(oldest) {
    for (const id of this.#feed.adopt()) this.#ids.add(id);
    this.#oldest = oldest;
    this.#changed(false);
  }

  /**
   * A post is something else from now on.
   * @param {string} id @param {Now} now
   */
  edit(id, now) {
    if (!this.#ids.has(id)) return this.#remember(id, now);
    this.#settle();
    const time = this.#feed.timeOf(id) ?? this.#held.timeOf(id) ?? "";
    const post = readPost({ id, time, edited: true, ...now });
    if (!post) return;
    this.#held.replace(post);
    this.#feed.replace(post);
    this.#changed(false);
  }

  /** @param {string} id @returns {boolean} whether it was here */
  remove(id) {
    this.#remember(id, undefined);
    if (!this.#ids.delete(id)) return false;
    this.#settle();
    this.#held.remove(id);
    this.#feed.remove(id);
    this.#changed(false);
    return true;
  }

  /** A page of older posts may be on its way that does not know of it. @param {string} id @param {Now | undefined} now nothing: it is gone */
  #remember(id, now) {
    // What is gone stays so, whatever was on its way.
    if (this.#fates.has(id) && !this.#fates.get(id)) return;
    this.#fates.delete(id);
    this.#fates.set(id, now);
    for (const first of this.#fates.keys()) {
      if (this.#fates.size <= MOST_FATES) break;
      this.#fates.delete(first);
    }
  }

  get empty() {
    return this.#feed.empty && this.#held.empty;
  }

  /** Whether a post is here, shown or waiting to be. @param {string} id */
  has(id) {
    return this.#ids.has(id);
  }

  /** The id from which older posts go on. */
  get oldest() {
    return this.#oldest || this.#feed.oldest;
  }

  /**
   * Adds a page of history below what is shown.
   * @param {WireEvent[]} events oldest first
   * @param {string | null} [oldest] before which it goes on
   * @param {Gap | null} [gap]
   */
  addOlder(events, oldest, gap) {
    /** @type {Entry[]} */
    const entries = events.flatMap((event) => this.#entryOf(event));
    // What is missing lies where the page joins the list; a first page joins nothing.
    if (gap) entries.splice(this.empty ? 0 : entries.length, 0, { gap });
    this.#feed.append(entries);
    this.#oldest = oldest ?? events[0]?.id ?? this.#oldest;
    this.#changed(false);
  }

  /** @param {WireEvent} event */
  arrive(event) {
    const entries = this.#entryOf(event);
    if (entries.length > 0) this.#gapOnTop = false;
    this.#queue(entries);
  }

  /** @param {Gap} gap */
  lose(gap) {
    // A line that breaks again before the next post tells of the same hole twice.
    if (!this.#gapOnTop) this.#queue([{ gap }]);
    this.#gapOnTop = true;
  }

  /**
   * @param {WireEvent} event
   * @returns {Entry[]} nothing for what is here already or is no post
   */
  #entryOf(event) {
    const fate = this.#fates.get(event.id);
    if (this.#fates.has(event.id) && !fate) return [];
    const post = readPost(fate ? { ...event, ...fate, edited: true } : event);
    if (!post || this.#ids.has(post.id)) return [];
    this.#ids.add(post.id);
    return [{ post }];
  }

  /** @param {Entry[]} entries */
  #queue(entries) {
    if (entries.length === 0) return;
    if (this.#arriving.length === 0) setTimeout(() => this.#settle(), BREATH);
    this.#arriving.push(...entries);
  }

  #settle() {
    if (this.#arriving.length === 0) return;
    const entries = this.#arriving;
    this.#arriving = [];
    this.#tell(entries);
    this.#forget(this.#held.push(entries));
    // Who writes while the wall is held wants to see that it has come.
    const mine = entries.some(({ post }) => post?.mine);
    if (!isAway() && (!this.#hold.on || mine)) this.#release();
  }

  /** @param {Entry[]} entries */
  #tell(entries) {
    const others = entries.filter(({ post }) => post && !post.mine).length;
    this.#title.arrived(entries.filter(({ post }) => post).length);
    this.#announcer.arrived(others);
  }

  #release() {
    const gone = this.#feed.prepend(this.#held.take());
    this.#forget(gone);
    if (gone.length > 0) this.#oldest = this.#feed.oldest;
    this.#changed(gone.length > 0);
  }

  #showHeld() {
    this.#release();
    toTop();
    // The button has gone: focus goes to what it brought.
    const newest = this.#list.querySelector(".post");
    if (newest instanceof HTMLElement) newest.focus({ preventScroll: true });
  }

  /** @param {string[]} ids */
  #forget(ids) {
    for (const id of ids) this.#ids.delete(id);
  }

  /** @param {boolean} trimmed */
  #changed(trimmed) {
    choose(this.#list);
    this.#onChange(trimmed);
  }
}
