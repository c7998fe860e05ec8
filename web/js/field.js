// @ts-check
// Owns one field of the composer: its text, its count, its complaint; never judges the text.

import { byId, part, say } from "./dom.js";
import { LIMITS, lengthOf } from "./draft.js";
import { say as words } from "./words.js";

/** @typedef {import("./draft.js").FieldName} FieldName */

export class Field {
  #box;
  #input;
  #error;
  #count;
  #limit;

  /** @param {FieldName} name */
  constructor(name) {
    this.#box = byId(`${name}-field`, HTMLElement);
    this.#input = inputIn(this.#box);
    this.#error = byId(`${name}-error`, HTMLElement);
    this.#count = byId(`${name}-count`, HTMLElement);
    this.#limit = LIMITS[name];
    this.#input.addEventListener("input", () => this.#typed());
    this.#typed();
  }

  get text() {
    return this.#input.value.trim();
  }

  /** @param {string} text */
  set text(text) {
    this.#input.value = text;
    this.#typed();
  }

  /** @param {boolean} shown */
  set shown(shown) {
    this.#box.hidden = !shown;
  }

  focus() {
    this.#input.focus();
  }

  /** @param {string} message what is wrong; empty when nothing is */
  complain(message) {
    say(this.#error, message);
    this.#error.hidden = message === "";
    if (message) this.#input.setAttribute("aria-invalid", "true");
    else this.#input.removeAttribute("aria-invalid");
  }

  #typed() {
    this.complain("");
    this.#showCount();
    if (this.#input instanceof HTMLTextAreaElement) grow(this.#input);
  }

  // The limit is soft: text may run over it while being shortened.
  #showCount() {
    const length = lengthOf(this.text);
    this.#count.hidden = length < this.#limit * 0.9;
    this.#count.classList.toggle("over", length > this.#limit);
    if (!this.#count.hidden) say(this.#count, words("count", { length, limit: this.#limit }));
  }
}

/**
 * @param {HTMLElement} box
 * @returns {HTMLInputElement | HTMLTextAreaElement}
 */
function inputIn(box) {
  const area = box.querySelector("textarea");
  return area ?? part(box, "input", HTMLInputElement);
}

/**
 * For browsers that cannot size a textarea to its text by themselves.
 * @param {HTMLTextAreaElement} area
 */
function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.setProperty("height", "auto");
  area.style.setProperty("height", `${area.scrollHeight + 2}px`);
}
