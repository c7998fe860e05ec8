// @ts-check
// Owns that a post which is on the wall is being changed: which one, that the form says so, and the request. It
// neither reads nor writes what stands in the form.

import { byId, say } from "./dom.js";
import { postUrl } from "./own.js";
import { ask } from "./wire.js";
import { say as words } from "./words.js";

export class Revision {
  #bar = byId("editing", HTMLElement);
  #button = byId("send", HTMLButtonElement);
  #post = "";

  /** @param {() => void} cancel */
  constructor(cancel) {
    byId("cancel-edit", HTMLElement).addEventListener("click", cancel);
  }

  /** The post's id; empty while a new one is written. */
  get post() {
    return this.#post;
  }

  set post(id) {
    this.#post = id;
    this.#bar.hidden = !id;
    say(this.#button, words(id ? "save" : "post"));
  }

  /**
   * What the wall answers; nothing if another post is changed by then.
   * @param {import("./draft.js").DraftKind} kind @param {import("./draft.js").Draft} draft
   */
  async send(kind, draft) {
    const post = this.#post;
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    const answer = await ask(postUrl(post), { method: "PUT", headers, body: JSON.stringify({ kind, ...draft }) });
    return this.#post === post ? answer : undefined;
  }
}
