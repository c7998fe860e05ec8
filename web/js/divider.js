// @ts-check
// Owns the sentence shown where posts were lost; never guesses how many.

import { cloneOf, part } from "./dom.js";
import { say } from "./words.js";

const REASONS = ["expired", "replaced", "unknown"];

/**
 * @param {import("./wire.js").Gap} gap
 * @returns {HTMLElement}
 */
export function dividerOf({ reason = "unknown" }) {
  const divider = cloneOf("gap-template");
  divider.dataset.reason = reason;
  part(divider, "span", Element).textContent = say(`gap.${REASONS.includes(reason) ? reason : "unknown"}`);
  return divider;
}
