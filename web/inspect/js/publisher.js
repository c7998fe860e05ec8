// @ts-check
// Owns publishing an event by hand and showing the answer; never shows the event (it comes back
// over the stream, if the stream follows its topic).

import { byId, setBusy, tell } from "../../js/dom.js";
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
      if (answer.ok) tell(this.#note, isRecord(answer.body) ? `Stored as ${answer.body.id}` : "Shown to who follows, not stored");
      else tell(this.#note, reasonOf(answer, `The hub answered ${answer.status}`), true);
    } catch {
      tell(this.#note, "The hub did not answer. Whether the event was stored is not known.", true);
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

  /** @param {boolean} sending */
  #busy(sending) {
    this.#sending = sending;
    setBusy(this.#button, sending);
    if (sending) tell(this.#note, "");
  }
}
