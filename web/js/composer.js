// @ts-check
// Owns writing and sending a post; never shows one (it comes back over the stream)
// and never throws away text that was not sent.

import { byId, say, setBusy, tell } from "./dom.js";
import { complaints, FIELDS, LIMITS } from "./draft.js";
import { Field } from "./field.js";
import { postsUrl } from "./page.js";
import { ask, isRecord, problemOf, reasonOf } from "./wire.js";

/**
 * @typedef {import("./draft.js").Complaint} Complaint
 * @typedef {import("./draft.js").Draft} Draft
 * @typedef {import("./draft.js").DraftKind} DraftKind
 * @typedef {import("./draft.js").FieldName} FieldName
 * @typedef {import("./wire.js").Answer} Answer
 */

const UNSENT =
  "The wall could not be reached; your text is kept. If the post does not appear, press Post to try again.";

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #button = byId("send", HTMLButtonElement);
  #note = byId("composer-note", HTMLElement);
  #fields = fieldsByName();
  #sending = false;

  constructor() {
    this.#form.addEventListener("change", () => this.#showKind());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
    this.#form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    this.#showKind();
  }

  /** @returns {DraftKind} */
  get #kind() {
    return /** @type {DraftKind} */ (new FormData(this.#form).get("kind"));
  }

  #showKind() {
    const kind = this.#kind;
    this.#form.dataset.kind = kind;
    for (const [name, field] of this.#fields) field.shown = FIELDS[kind].includes(name);
  }

  async #send() {
    if (this.#sending) return;
    const kind = this.#kind;
    const draft = this.#draft(kind);
    this.#tell("");
    if (this.#refuse(complaints(kind, draft))) return;
    this.#busy(true);
    try {
      const headers = { "Content-Type": "application/json", Accept: "application/json" };
      const answer = await ask(postsUrl, { method: "POST", headers, body: JSON.stringify({ kind, ...draft }) });
      if (answer.ok) this.#sent(kind, draft, answer.body);
      else this.#refused(kind, answer);
    } catch {
      this.#tell(UNSENT, true);
    } finally {
      this.#busy(false);
    }
  }

  /**
   * Only what this kind uses, and nothing that is empty.
   * @param {DraftKind} kind
   * @returns {Draft}
   */
  #draft(kind) {
    const filled = FIELDS[kind].map((name) => /** @type {const} */ ([name, this.#field(name).text]));
    return Object.fromEntries(filled.filter(([, text]) => text !== ""));
  }

  /**
   * @param {Complaint[]} found
   * @returns {boolean} whether there was anything to complain about
   */
  #refuse(found) {
    for (const field of this.#fields.values()) field.complain("");
    for (const { field, message } of found) this.#field(field).complain(message);
    if (found[0]) this.#field(found[0].field).focus();
    return found.length > 0;
  }

  /** @param {DraftKind} kind @param {Answer} answer */
  #refused(kind, answer) {
    const message = reasonOf(answer, `The wall did not take the post (${answer.status}). Your text is kept.`);
    const field = FIELDS[kind].find((name) => name === problemOf(answer).field);
    if (field) this.#refuse([{ field, message }]);
    else this.#tell(message, true);
  }

  /** @param {DraftKind} kind @param {Draft} draft @param {unknown} body */
  #sent(kind, draft, body) {
    // What was typed while the post was on its way is the next post: leave it.
    for (const name of /** @type {const} */ (["msg", "place", "through"])) {
      if (this.#field(name).text === draft[name]) this.#field(name).text = "";
    }
    const named = isRecord(body) && typeof body.name === "string" ? body.name : "";
    if (named && this.#field("name").text === draft.name) this.#field("name").text = named;
    this.#tell("Posted.");
    if (FIELDS[kind][0] && !this.#writing) this.#field(FIELDS[kind][0]).focus();
  }

  get #writing() {
    const focused = document.activeElement;
    return this.#form.contains(focused) && focused !== this.#button;
  }

  /** @param {FieldName} name */
  #field(name) {
    return /** @type {Field} */ (this.#fields.get(name));
  }

  /** @param {string} words @param {boolean} [bad] */
  #tell(words, bad = false) {
    tell(this.#note, words, bad);
  }

  /** @param {boolean} sending */
  #busy(sending) {
    this.#sending = sending;
    setBusy(this.#button, sending);
    say(this.#button, sending ? "Posting…" : "Post");
  }
}

function fieldsByName() {
  const names = /** @type {FieldName[]} */ (Object.keys(LIMITS));
  return new Map(names.map((name) => [name, new Field(name)]));
}
