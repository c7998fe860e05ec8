// @ts-check
// Owns reading `text/event-stream` as a page of 2011 would write it for itself. It runs in the page.

/** @typedef {import("../../support/client.js").Arrival} Arrival */

/**
 * The events of complete blocks; what comes behind the last blank line is left out.
 * @param {string} text
 * @returns {Arrival[]}
 */
export function parseEvents(text) {
  const blocks = text.split("\n\n").slice(0, -1);
  /** @type {Arrival[]} */
  const events = [];
  for (const block of blocks) {
    /** @type {string[]} */
    const data = [];
    const fields = { id: "", event: "message" };
    for (const line of block.split("\n")) {
      const [, name, value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (name === "data") data.push(value);
      else if (name === "id" || name === "event") fields[name] = value;
    }
    if (data.length > 0) events.push({ ...fields, data: data.join("\n") });
  }
  return events;
}
