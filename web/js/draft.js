// @ts-check
// Owns what makes a post fit to send; never touches the page or the network.

import { say } from "./words.js";

/**
 * @typedef {"status" | "checkin" | "forward"} DraftKind
 * @typedef {"msg" | "place" | "through" | "location" | "name"} FieldName
 * @typedef {Partial<Record<FieldName, string>>} Draft
 * @typedef {{ field: FieldName, message: string }} Complaint
 */

/** @type {Record<FieldName, number>} */
export const LIMITS = { place: 200, through: 200, msg: 2000, location: 200, name: 40 };

/** The fields of each kind, in reading order. @type {Record<DraftKind, FieldName[]>} */
export const FIELDS = {
  status: ["msg", "location", "name"],
  checkin: ["place", "location", "name"],
  forward: ["through", "msg", "location", "name"],
};

/** @type {FieldName[]} */
const NEEDED = ["msg", "place", "through", "name"];
/** What no line of text has. */
const CONTROL = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]/;

/**
 * Characters as people (and the server) count them: code points.
 * @param {string} text
 */
export const lengthOf = (text) => [...text].length;

/**
 * @param {DraftKind} kind
 * @param {Draft} draft
 * @returns {Complaint[]} in reading order; empty when it can be sent
 */
export function complaints(kind, draft) {
  return FIELDS[kind].flatMap((field) => {
    const message = complaint(field, draft[field] ?? "");
    return message ? [{ field, message }] : [];
  });
}

/**
 * @param {FieldName} field
 * @param {string} text
 */
function complaint(field, text) {
  const over = lengthOf(text) - LIMITS[field];
  if (over > 0) return say("wrong.long", { over, limit: LIMITS[field] });
  if (CONTROL.test(text)) return say("wrong.control");
  return text === "" && NEEDED.includes(field) ? say(`missing.${field}`) : undefined;
}
