// @ts-check
// Owns putting an element's text on the clipboard; never claims to have done what it could not.

import { say } from "./words.js";

/**
 * Pages not served over HTTPS have no clipboard, hence the older ways.
 * @param {HTMLElement} source
 * @returns {Promise<string>} what to tell the visitor
 */
export async function copyText(source) {
  try {
    await navigator.clipboard.writeText(source.textContent ?? "");
    return say("copied");
  } catch {
    getSelection()?.selectAllChildren(source);
    return say(oldCopy() ? "copied" : "selected");
  }
}

function oldCopy() {
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  }
}
