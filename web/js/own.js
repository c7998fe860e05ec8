// @ts-check
// Owns what visitors do to posts of their own: asking for them to be changed or taken away. What becomes of it
// comes over the stream, to everybody alike.

import { tell, byId } from "./dom.js";
import { FIELDS } from "./draft.js";
import { postsUrl } from "./page.js";
import { ask, isRecord, readJson, reasonOf } from "./wire.js";
import { say } from "./words.js";

/**
 * @typedef {import("./draft.js").Draft} Draft
 * @typedef {import("./draft.js").DraftKind} DraftKind
 */

/** @param {HTMLElement} list @param {(id: string, kind: DraftKind, draft: Draft) => void} onEdit */
export function offerTools(list, onEdit) {
  list.addEventListener("click", ({ target }) => {
    const card = target instanceof Element ? target.closest(".post") : null;
    if (!(target instanceof Element) || !(card instanceof HTMLElement)) return;
    const { id = "", kind = "", raw = "" } = card.dataset;
    if (target.closest(".post-tools .edit") && isDraftKind(kind)) onEdit(id, kind, draftIn(raw));
    if (target.closest(".post-tools .remove") && confirm(say("remove.sure"))) void remove(id);
  });
}

/** @param {string} kind @returns {kind is DraftKind} */
const isDraftKind = (kind) => Object.hasOwn(FIELDS, kind);

/** @param {string} raw @returns {Draft} */
function draftIn(raw) {
  const data = readJson(raw);
  if (!isRecord(data)) return { msg: raw };
  const { msg, place, through, location, from: name } = /** @type {Record<string, string>} */ (data);
  return { msg, place, through, location, name };
}

/** @param {string} id */
async function remove(id) {
  const note = byId("composer-note", HTMLElement);
  try {
    const answer = await ask(postUrl(id), { method: "DELETE", headers: { Accept: "application/json" } });
    if (!answer.ok) tell(note, reasonOf(answer, say("refused", { status: answer.status })), true);
  } catch {
    tell(note, say("unreachable"), true);
  }
}

/** @param {string} id */
export const postUrl = (id) => `${postsUrl}/${encodeURIComponent(id)}`;
