// @ts-check
// Owns turning one frame into one row; must never treat anything in it as more than text. What is
// behind a row is only made when somebody opens it.

import { cloneOf, part, say } from "../../js/dom.js";
import { pretty } from "./pretty.js";
import { count, exactTime, some } from "./words.js";

/** @typedef {import("./frame.js").Frame} Frame */

/** UTF-16 units of data on the row itself. */
const PREVIEW = 300;

/** @type {Partial<Record<import("./frame.js").Kind, string>>} */
const NAMES = { oversized: "too large" };

const REASONS = new Map([
  ["expired", "retention removed events in between"],
  ["replaced", "this log is not the one, or reaches no longer as far as the one, that gave the id"],
  ["unknown", "the id makes no sense here"],
]);

/**
 * @param {Frame} frame
 * @returns {HTMLElement}
 */
export function rowOf(frame) {
  const isEvent = frame.kind === "event" || frame.kind === "ephemeral" || frame.kind === "hub";
  const row = isEvent ? eventRow(frame) : noteRow(frame);
  row.dataset.kind = frame.kind;
  if (frame.id) row.dataset.id = frame.id;
  const time = part(row, "time", HTMLTimeElement);
  time.dateTime = frame.time ?? new Date(frame.at).toISOString();
  time.textContent = exactTime(frame.time ?? frame.at);
  write(row, ".row-id", frame.id || (frame.kind === "ephemeral" ? "not stored" : ""));
  return row;
}

/**
 * Some ticks in a row are one row, or a quiet night would push all events off the list.
 * @param {HTMLElement} row
 * @param {number} ticks
 */
export function countTicks(row, ticks) {
  write(row, ".row-words", ticks === 1 ? "" : `the last of ${count(ticks)}`);
}

/** @param {Frame} frame */
function eventRow(frame) {
  const row = cloneOf("event-template");
  write(row, ".row-topic", frame.topic ?? "");
  write(row, ".row-name", frame.name ?? "");
  write(row, ".row-data", frame.data.slice(0, PREVIEW));
  const details = part(row, "details", HTMLDetailsElement);
  details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(behind(frame)), { once: true });
  return row;
}

/** @param {Frame} frame */
function noteRow(frame) {
  const row = cloneOf("note-template");
  write(row, ".row-name", NAMES[frame.kind] ?? frame.kind);
  write(row, ".row-words", wordsOf(frame));
  return row;
}

/** @param {Frame} frame */
function wordsOf({ kind, gap, data }) {
  if (kind === "tick") return "";
  if (kind === "live") return "replay is over";
  if (kind === "oversized") return "an event was skipped: it is larger than this page takes";
  if (kind !== "gap") return data;
  const { after = "?", resumed = "?", through, reason = "unknown" } = gap ?? {};
  const why = REASONS.get(reason) ?? "which this page does not know";
  return `Events are missing. After ${after}, resumed at ${resumed}${through ? `, lost as far as ${through}` : ""}. Reason: ${reason}, ${why}.`;
}

/** @param {Frame} frame */
function behind(frame) {
  const all = cloneOf("behind-template");
  write(all, ".behind-id", frame.id || "none: it was never in the log");
  write(all, ".behind-topic", frame.topic ?? "");
  write(all, ".behind-name", frame.name ?? "");
  write(all, ".behind-time", frame.time ?? "");
  write(all, ".behind-by", frame.by ?? "");
  write(all, ".behind-length", lengthOf(frame));
  write(all, "pre", frame.length > frame.data.length ? frame.data : pretty(frame.data));
  return all;
}

/** @param {Frame} frame */
function lengthOf({ length, data }) {
  const kept = length > data.length ? `, of which the first ${count(data.length)} are kept` : "";
  return some(length, "character") + kept;
}

/** @param {HTMLElement} root @param {string} selector @param {string} words */
function write(root, selector, words) {
  say(part(root, selector, Element), words);
}
