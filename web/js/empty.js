// @ts-check
// Owns the panel that says how to fill an empty wall; never shows beside a post.

import { copyText } from "./copy.js";
import { byId, say } from "./dom.js";
import { may, samplesUrl, topicUrl } from "./page.js";
import { ask, reasonOf } from "./wire.js";
import { say as words } from "./words.js";

export class Empty {
  #panel = byId("empty", HTMLElement);
  #note = byId("empty-note", HTMLElement);
  #line = byId("curl-line", HTMLElement);
  #playing = false;

  constructor() {
    byId("waiting", HTMLElement).hidden = may.has("post");
    for (const id of ["how-to-post", "try-twice", "empty-actions"]) byId(id, HTMLElement).hidden = !may.has("post");
    for (const id of ["curl", "how-to-publish"]) byId(id, HTMLElement).hidden = !may.has("publish");
    byId("play-samples", HTMLElement).hidden = !may.has("samples");
    this.#line.textContent = `curl -d "hello" ${location.origin}${topicUrl}`;
    byId("second-tab", HTMLAnchorElement).href = location.pathname;
    byId("copy-curl", HTMLElement).addEventListener("click", () => void this.#copy());
    byId("play-samples", HTMLElement).addEventListener("click", () => void this.#play());
  }

  /** @param {boolean} shown */
  set shown(shown) {
    this.#panel.hidden = !shown;
  }

  async #copy() {
    this.#tell("");
    this.#tell(await copyText(this.#line));
  }

  async #play() {
    if (this.#playing) return;
    this.#playing = true;
    this.#tell(words("samples.asking"));
    try {
      const answer = await ask(samplesUrl, { method: "POST", headers: { Accept: "application/json" } });
      this.#tell(answer.ok ? words("samples.coming") : reasonOf(answer, words("samples.refused")));
    } catch {
      this.#tell(words("unreachable"));
    } finally {
      this.#playing = false;
    }
  }

  /** @param {string} words */
  #tell(words) {
    say(this.#note, words);
  }
}
