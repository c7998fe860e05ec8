// @ts-check
// Owns the sentence shown where posts were lost; never guesses how many.

import { cloneOf, part } from "./dom.js";

/** @type {Record<string, string>} */
const SENTENCES = {
  expired: "Some posts are missing here; the wall no longer had them.",
  replaced: "The wall started afresh here. Posts from just before may be missing.",
  unknown: "Posts may be missing here: the wall could not tell where this page left off.",
};

/**
 * @param {import("./wire.js").Gap} gap
 * @returns {HTMLElement}
 */
export function dividerOf({ reason = "unknown" }) {
  const divider = cloneOf("gap-template");
  divider.dataset.reason = reason;
  part(divider, "span", Element).textContent = SENTENCES[reason] ?? SENTENCES.unknown ?? "";
  return divider;
}
