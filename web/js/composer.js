// @ts-check
// Owns writing a post: what is written is kept over reloads until it goes to the outbox, and comes back from there
// if it has to be mended. It never shows a post.

import { byId, tell } from "./dom.js";
import { complaints, FIELDS, LIMITS } from "./draft.js";
import { Field } from "./field.js";
import * as notebook from "./notebook.js";
import { Revision } from "./revision.js";
import { isRecord, problemOf, reasonOf } from "./wire.js";
import { say as words } from "./words.js";

/**
 * @typedef {import("./draft.js").Complaint} Complaint
 * @typedef {import("./draft.js").Draft} Draft
 * @typedef {import("./draft.js").DraftKind} DraftKind
 * @typedef {import("./draft.js").FieldName} FieldName
 * @typedef {import("./outbox.js").Parcel} Parcel
 * @typedef {import("./wire.js").Answer} Answer
 */

/** What a post is about, and what is gone from the form with it. */
const SUBJECTS = /** @type {const} */ (["msg", "place", "through"]);

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #button = byId("send", HTMLButtonElement);
  #note = byId("composer-note", HTMLElement);
  #fields = fieldsByName();
  #post;
  #revision = new Revision(() => this.#endChanging());

  /** @param {(kind: DraftKind, draft: Draft) => void} post */
  constructor(post) {
    this.#post = post;
    this.#form.addEventListener("change", () => this.#showKind());
    this.#form.addEventListener("input", () => this.#revision.post || notebook.keep(this.#kind, this.#draft(this.#kind)));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    const kept = notebook.kept();
    if (kept) this.#write(kept.kind, kept.draft);
    else this.#showKind();
  }

  /** @param {Parcel} parcel @param {unknown} body of the answer */
  sent({ draft }, body) {
    const named = isRecord(body) && typeof body.name === "string" ? body.name : "";
    if (named && this.#field("name").text === draft.name) this.#field("name").text = named;
    this.#tell(words("posted"));
  }

  /**
   * Takes the words of a refused post back, to be mended, unless something else is being written.
   * @param {Parcel} parcel @param {Answer} answer
   */
  refused(parcel, answer) {
    const { kind } = parcel;
    const message = reasonOf(answer, words("refused", { status: answer.status }));
    parcel.stage = "failed";
    parcel.reason = message;
    if (this.#hasWords) return false;
    this.#write(kind, parcel.draft);
    this.#complain(kind, answer);
    return true;
  }

  /**
   * Takes the words of a post to be mended, unless that would cost others.
   * @param {Parcel} parcel
   */
  takes(parcel) {
    if (this.#hasWords) {
      this.#tell(words("editing.first"), true);
      return false;
    }
    this.edit(parcel);
    return true;
  }

  /** Changes a post that is on the wall. @param {string} id @param {DraftKind} kind @param {Draft} draft */
  change(id, kind, draft) {
    if (this.#hasWords) return this.#tell(words("editing.first"), true);
    this.#revision.post = id;
    this.#tell("");
    this.edit({ kind, draft });
    // It is on the wall, and not to be posted once more after a reload.
    notebook.keep(kind, {});
  }

  /** @param {{ kind: DraftKind, draft: Draft }} draft */
  edit({ kind, draft }) {
    this.#write(kind, draft);
    if (FIELDS[kind][0]) this.#field(FIELDS[kind][0]).focus();
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

  #submit() {
    const kind = this.#kind;
    const draft = this.#draft(kind);
    this.#tell("");
    if (this.#refuse(complaints(kind, draft))) return;
    if (this.#revision.post) return void this.#save(kind, draft);
    // Of other kinds something may be half written.
    for (const name of SUBJECTS) if (FIELDS[kind].includes(name)) this.#field(name).text = "";
    if (FIELDS[kind][0] && !this.#writing) this.#field(FIELDS[kind][0]).focus();
    notebook.keep(kind, this.#draft(kind));
    this.#post(kind, draft);
  }

  /** @param {DraftKind} kind @param {Draft} draft */
  async #save(kind, draft) {
    try {
      const answer = await this.#revision.send(kind, draft);
      if (!answer) return;
      if (!answer.ok) return this.#complain(kind, answer);
      this.#endChanging();
      this.#tell(words("saved"));
    } catch {
      this.#tell(words("unreachable"), true);
    }
  }

  #endChanging() {
    this.#revision.post = "";
    for (const name of SUBJECTS) this.#field(name).text = "";
    notebook.keep(this.#kind, {});
    this.#tell("");
    this.#field(FIELDS[this.#kind][0] ?? "msg").focus();
  }

  /** @param {DraftKind} kind @param {Answer} answer */
  #complain(kind, answer) {
    const message = reasonOf(answer, words("refused", { status: answer.status }));
    const field = FIELDS[kind].find((name) => name === problemOf(answer).field);
    if (field) this.#refuse([{ field, message }]);
    else this.#tell(`${message} ${words("kept")}`, true);
  }

  /** @param {DraftKind} kind @param {Draft} draft */
  #write(kind, draft) {
    const choice = this.#form.querySelector(`input[name="kind"][value="${kind}"]`);
    if (choice instanceof HTMLInputElement) choice.checked = true;
    this.#showKind();
    for (const name of FIELDS[kind]) if (draft[name] !== undefined || name !== "name") this.#field(name).text = draft[name] ?? "";
    notebook.keep(kind, draft);
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

  /** Something stands in the form that is posted nowhere. */
  get #hasWords() {
    return this.#revision.post !== "" || SUBJECTS.some((name) => this.#field(name).text !== "");
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
}

function fieldsByName() {
  const names = /** @type {FieldName[]} */ (Object.keys(LIMITS));
  return new Map(names.map((name) => [name, new Field(name)]));
}
