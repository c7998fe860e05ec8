// @ts-check
// Owns asking for pages of past posts; never shows them and never retries.

import { postsUrl } from "./page.js";
import { ask, isRecord, isWireEvent, reasonOf } from "./wire.js";

/** @typedef {import("./wire.js").HistoryPage} HistoryPage */

const PAGE = 50;

/** @param {string} id */
export const before = (id) => page(`before=${encodeURIComponent(id)}&count=${PAGE}`);

/**
 * @param {string} query
 * @returns {Promise<HistoryPage>}
 */
async function page(query) {
  const answer = await ask(`${postsUrl}?${query}`, { headers: { Accept: "application/json" } });
  if (!answer.ok || !isPage(answer.body)) {
    throw new Error(reasonOf(answer, `The wall answered ${answer.status}`));
  }
  return answer.body;
}

/**
 * @param {unknown} body
 * @returns {body is HistoryPage}
 */
function isPage(body) {
  if (!isRecord(body) || typeof body.cursor !== "string") return false;
  return Array.isArray(body.events) && body.events.every(isWireEvent);
}
