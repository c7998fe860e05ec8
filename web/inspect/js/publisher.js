// @ts-check
// Owns publishing an event by hand and showing the answer; never shows the event (it comes back
// over the stream, if the stream follows its topic).

import { byId, say } from "../../js/dom.js";
import { ask, isRecord, reasonOf } from "../../js/wire.js";

export class Publisher {
  #form = byId("publish", HTMLFormElement);
  #topic = byId("publish-topic", HTMLInputElement);
  #event = byId("publish-event", HTMLInputElement);
  #data = byId("publish-data", HTMLTextAreaElement);
  #ephemeral = byId("publish-ephemeral", HTMLInputElement);
  #button = byId("publish-send", HTMLButtonElement);
  #note = byId("publish-note", HTMLElement);
  #sending = false;

  constructor() {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
    this.#form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
  }

  async #send() {
    if (this.#sending) return;
    this.#busy(true);
    try {
      const answer = await ask(this.#url, { method: "POST", body: this.#data.value });
      if (answer.ok) this.#tell(isRecord(answer.body) ? `Stored as ${answer.body.id}` : "Shown to who follows, not stored");
      else this.#tell(reasonOf(answer, `The hub answered ${answer.status}`), true);
    } catch {
      this.#tell("The hub did not answer. Whether the event was stored is not known.", true);
    } finally {
      this.#busy(false);
    }
  }

  get #url() {
    const query = new URLSearchParams();
    if (this.#event.value) query.set("event", this.#event.value);
    if (this.#ephemeral.checked) query.set("ephemeral", "");
    return `/topics/${encodeURIComponent(this.#topic.value)}${query.size ? `?${query}` : ""}`;
  }

  /** @param {string} words @param {boolean} [bad] */
  #tell(words, bad = false) {
    say(this.#note, words);
    this.#note.classList.toggle("bad", bad);
  }

  // Not `disabled`: that would take the focus away from whoever pressed it.
  /** @param {boolean} sending */
  #busy(sending) {
    this.#sending = sending;
    this.#button.setAttribute("aria-disabled", String(sending));
    if (sending) this.#tell("");
  }
}
