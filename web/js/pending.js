// @ts-check
// Owns how posts on their way are shown: above the wall, each with what becomes of it. It sends nothing.

import { cardOf } from "./card.js";
import { byId, cloneOf, part, say } from "./dom.js";
import { visitor } from "./page.js";
import { readPost } from "./post.js";
import { say as words } from "./words.js";

/** @typedef {import("./outbox.js").Parcel} Parcel */

export class Pending {
  #list = byId("pending", HTMLElement);
  /** @type {Map<string, HTMLElement>} */
  #cards = new Map();
  #hooks;

  /** @param {{ onEdit(parcel: Parcel): void, onDiscard(key: string): void }} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  /** @param {Parcel[]} parcels */
  show(parcels) {
    const keys = new Set(parcels.map(({ key }) => key));
    for (const [key, card] of this.#cards) {
      if (keys.has(key)) continue;
      card.remove();
      this.#cards.delete(key);
    }
    for (const parcel of parcels) this.#draw(parcel);
    this.#list.hidden = parcels.length === 0;
  }

  /** @param {Parcel} parcel */
  #draw(parcel) {
    const card = this.#cards.get(parcel.key) ?? this.#make(parcel);
    card.dataset.stage = parcel.stage;
    const { stage, reason } = parcel;
    say(part(card, ".pending-words", Element), reason ? `${words(`stage.${stage}`)}: ${reason}` : words(`stage.${stage}`));
    /** @type {NodeListOf<HTMLButtonElement>} */
    const buttons = card.querySelectorAll(".pending-state button");
    for (const button of buttons) button.hidden = stage !== "failed";
  }

  /** @param {Parcel} parcel */
  #make(parcel) {
    const item = cloneOf("pending-template");
    part(item, ".pending-post", Element).append(cardOf(postOf(parcel)));
    part(item, ".pending-state .edit", HTMLButtonElement).addEventListener("click", () => this.#hooks.onEdit(parcel));
    part(item, ".pending-state .discard", HTMLButtonElement).addEventListener("click", () => this.#hooks.onDiscard(parcel.key));
    this.#cards.set(parcel.key, item);
    this.#list.prepend(item);
    return item;
  }
}

/** As the wall would make one of it. @param {Parcel} parcel */
function postOf({ key, kind, draft, at }) {
  const { name, ...words } = draft;
  const event = kind === "status" ? "message" : kind;
  const wire = { id: key, event, time: at, by: visitor, data: JSON.stringify({ from: name, ...words }) };
  const post = readPost(wire);
  if (!post) throw new Error(`${kind} is no kind of post`);
  return post;
}
