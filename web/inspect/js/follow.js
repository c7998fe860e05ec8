// @ts-check
// Owns the form that says what to follow and from where, and its place in the page's URL; never
// follows anything itself.

import { byId, say } from "../../js/dom.js";
import { readQuery, topicsAsText, topicsInText, toSearch } from "./query.js";

/**
 * @typedef {import("./query.js").Query} Query
 * @typedef {import("./query.js").Start} Start
 */

/** What to write beside each start, and an example. @type {Record<Start, [string, string]>} */
const VALUES = {
  now: ["", ""],
  last: ["How many each", "10"],
  since: ["Since", "10m"],
  after: ["The id", "k3x9v0qa-1042"],
};

export class FollowForm {
  #form = byId("follow", HTMLFormElement);
  #topics = byId("follow-topics", HTMLInputElement);
  #start = byId("follow-start", HTMLSelectElement);
  #field = byId("follow-value-field", HTMLElement);
  #label = byId("follow-value-label", HTMLElement);
  #value = byId("follow-value", HTMLInputElement);
  #note = byId("follow-note", HTMLElement);
  #onFollow;

  /** @param {(query: Query) => void} onFollow called at once, too, with what the URL says */
  constructor(onFollow) {
    this.#onFollow = onFollow;
    this.#start.addEventListener("change", () => this.#showStart(true));
    addEventListener("popstate", () => this.#fromUrl());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      history.pushState(null, "", toSearch(this.#query));
      this.#fromUrl();
    });
    this.#fromUrl();
  }

  /** @param {string} words why the hub refuses what is asked for; empty if it does not */
  complain(words) {
    say(this.#note, words);
  }

  /** @returns {Query} */
  get #query() {
    return {
      topics: topicsInText(this.#topics.value),
      start: /** @type {Start} */ (this.#start.value),
      value: this.#value.value.trim(),
    };
  }

  #fromUrl() {
    const query = readQuery(location.search);
    this.#topics.value = topicsAsText(query.topics);
    this.#start.value = query.start;
    this.#value.value = query.value;
    this.#showStart(false);
    this.complain("");
    this.#onFollow(query);
  }

  /** @param {boolean} chosen by hand: a value of another start means nothing here */
  #showStart(chosen) {
    const [label, example] = VALUES[/** @type {Start} */ (this.#start.value)];
    this.#field.hidden = label === "";
    say(this.#label, label);
    this.#value.placeholder = example;
    if (chosen) this.#value.value = this.#start.value === "after" ? "" : example;
  }
}
