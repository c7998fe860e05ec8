// @ts-check
// Owns the shapes that cross the network and how they are asked for; never touches the page.

/**
 * @typedef {{ id: string, event: string, time: string, by?: string, data: string, edited?: boolean }} WireEvent
 * @typedef {{ after?: string, resumed?: string, through?: string, reason?: string }} Gap
 * @typedef {{ events: WireEvent[], oldest?: string | null, cursor: string, more: boolean, gap?: Gap | null, counts?: { posts: number } | null }} HistoryPage
 * @typedef {{ title?: string, detail?: string, field?: string }} Problem
 * @typedef {{ ok: boolean, status: number, body: unknown }} Answer
 */

// A request that hangs is a failure too: after this long the visitor is told.
const PATIENCE = 15_000;

/**
 * Any HTTP answer comes back; only a failing line throws.
 * @param {string} url
 * @param {RequestInit} [init]
 * @returns {Promise<Answer>}
 */
export async function ask(url, init = {}) {
  const signal = AbortSignal.timeout(PATIENCE);
  const response = await fetch(url, { ...init, signal, cache: "no-store" });
  return { ok: response.ok, status: response.status, body: readJson(await response.text()) };
}

/**
 * The value, or undefined for text that is not JSON.
 * @param {string} text
 * @returns {unknown}
 */
export function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @returns {value is WireEvent}
 */
export function isWireEvent(value) {
  return isRecord(value) && ["id", "event", "time", "data"].every((key) => typeof value[key] === "string");
}

/**
 * @param {Answer} answer
 * @returns {Problem}
 */
export function problemOf({ body }) {
  return isRecord(body) ? body : {};
}

/**
 * The server's own words for what went wrong, or ours where it gave none.
 * @param {Answer} answer
 * @param {string} otherwise
 */
export function reasonOf(answer, otherwise) {
  const { detail, title } = problemOf(answer);
  return detail || title || otherwise;
}
