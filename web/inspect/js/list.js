// @ts-check
// Owns the list of frames, newest first: how many there are, what waits while it is paused, and
// which of them the filter shows. Must never grow past its limit, nor draw for each frame alone.

import { byId, say } from "../../js/dom.js";
import { countTicks, rowOf } from "./row.js";
import { count } from "./words.js";

/** @typedef {import("./frame.js").Frame} Frame */

/** Frames on the page; as many may wait. */
const LIMIT = 500;
/** Frames that come within this are drawn together. */
const BREATH = 100;

export class FrameList {
  #list = byId("frames", HTMLElement);
  #empty = byId("frames-empty", HTMLElement);
  #note = byId("frames-note", HTMLElement);
  #pause = byId("pause", HTMLButtonElement);
  #filter = byId("filter", HTMLInputElement);
  /** Oldest first. @type {Frame[]} */
  #waiting = [];
  #held = 0;
  #gone = 0;
  #paused = false;
  #timer = 0;
  /** What is on the page. @type {WeakMap<Element, Frame>} */
  #frames = new WeakMap();
  #ticks = 0;

  constructor() {
    this.#pause.addEventListener("click", () => this.#toggle());
    byId("clear", HTMLElement).addEventListener("click", () => this.clear());
    this.#filter.addEventListener("input", () => this.#refilter());
  }

  /** @param {Frame} frame */
  add(frame) {
    this.#held += 1;
    this.#waiting.push(frame);
    this.#gone += this.#waiting.splice(0, this.#waiting.length - LIMIT).length;
    this.#timer ||= setTimeout(() => this.#draw(), BREATH);
  }

  clear() {
    this.#waiting = [];
    this.#held = this.#gone = this.#ticks = 0;
    this.#list.replaceChildren();
    this.#describe();
  }

  #toggle() {
    this.#paused = !this.#paused;
    this.#draw();
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.#paused) this.#show();
    this.#describe();
  }

  #show() {
    const frames = this.#waiting;
    this.#waiting = [];
    this.#held = 0;
    const needle = this.#needle;
    for (const frame of frames) this.#prepend(frame, needle);
    const old = [...this.#list.children].slice(LIMIT);
    for (const row of old) row.remove();
    this.#gone += old.length;
  }

  /** @param {Frame} frame @param {string} needle */
  #prepend(frame, needle) {
    const newest = this.#list.firstElementChild;
    const again = frame.kind === "tick" && newest instanceof HTMLElement && newest.dataset.kind === "tick";
    this.#ticks = again ? this.#ticks + 1 : 1;
    const row = rowOf(frame);
    if (frame.kind === "tick") countTicks(row, this.#ticks);
    row.hidden = !matches(frame, needle);
    this.#frames.set(row, frame);
    if (again) newest.replaceWith(row);
    else this.#list.prepend(row);
  }

  get #needle() {
    return this.#filter.value.trim().toLowerCase();
  }

  #refilter() {
    const needle = this.#needle;
    for (const row of this.#list.children) {
      const frame = this.#frames.get(row);
      if (row instanceof HTMLElement && frame) row.hidden = !matches(frame, needle);
    }
    this.#describe();
  }

  #describe() {
    const rows = this.#list.childElementCount;
    const shown = rows - this.#list.querySelectorAll(":scope > [hidden]").length;
    this.#empty.hidden = this.#list.querySelector("details") !== null;
    say(this.#pause, this.#paused ? `Go on (${count(this.#held)} new)` : "Pause");
    const parts = [shown < rows ? `${count(shown)} of ${count(rows)} shown` : `${count(rows)} shown`];
    if (this.#gone > 0) parts.push(`${count(this.#gone)} older ones let go`);
    say(this.#note, rows > 0 ? parts.join(", ") : "");
  }
}

/**
 * @param {Frame} frame
 * @param {string} needle in lower case
 */
function matches({ kind, topic = "", name = "", id, data }, needle) {
  return needle === "" || [kind, topic, name, id, data].some((text) => text.toLowerCase().includes(needle));
}
