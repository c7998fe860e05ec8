// @ts-check
// Owns what is being written, over reloads of its tab; never sends it.

import { FIELDS } from "./draft.js";
import { wall } from "./page.js";
import { isRecord, readJson } from "./wire.js";

/**
 * @typedef {import("./draft.js").Draft} Draft
 * @typedef {import("./draft.js").DraftKind} DraftKind
 */

const NAME = `eventwall:draft:${wall}`;

// A browser may keep nothing for a page: then a reload empties the form.
/** @param {DraftKind} kind @param {Draft} draft */
export function keep(kind, draft) {
  try {
    sessionStorage.setItem(NAME, JSON.stringify({ kind, draft }));
  } catch {
    // Said above.
  }
}

/** @returns {{ kind: DraftKind, draft: Draft } | undefined} */
export function kept() {
  try {
    const note = readJson(sessionStorage.getItem(NAME) ?? "");
    if (!isRecord(note) || !isRecord(note.draft) || !Object.hasOwn(FIELDS, String(note.kind))) return undefined;
    return /** @type {{ kind: DraftKind, draft: Draft }} */ (/** @type {unknown} */ (note));
  } catch {
    return undefined;
  }
}
