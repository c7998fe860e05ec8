// @ts-check
// Owns one request for a stream, read to its end or until it is silent for too long. Never asks
// twice, and never throws: whatever happens, the end says in words what it was.

import { readJson, reasonOf } from "../../js/wire.js";

/**
 * @typedef {object} End
 * @property {string} words
 * @property {boolean} final trying again cannot heal it
 * @property {number} wait not to come back before so many milliseconds
 */

/** An answer has to begin within this. */
const PATIENCE = 20_000;
/** So many heartbeats of silence, and some grace, are a dead line. */
const MISSED = 2;
const GRACE = 5_000;

/**
 * The chunks of the answer, as they come.
 * @param {string} url
 * @param {string} cursor to resume from; empty to begin as the URL says
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Uint8Array, End>}
 */
export async function* readStream(url, cursor, signal) {
  const silence = new Silence(signal);
  let broken = "the server could not be reached";
  try {
    const headers = { Accept: "text/event-stream", ...(cursor && { "Last-Event-ID": cursor }) };
    const response = await fetch(url, { headers, signal: silence.signal, cache: "no-store" });
    const refusal = await refusalOf(response);
    if (refusal) return refusal;
    broken = "the line broke";
    silence.allow(1000 * MISSED * Number(response.headers.get("Eventwall-Heartbeat")) + GRACE);
    const reader = response.body?.getReader();
    for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
      silence.heard();
      yield read.value;
    }
    return end("the server ended the stream");
  } catch {
    return end(silence.tooLong ? "the line was silent for too long" : broken);
  } finally {
    silence.over();
  }
}

/**
 * As the client for Rust judges it.
 * @param {Response} response
 * @returns {Promise<End | undefined>}
 */
async function refusalOf(response) {
  const { status, headers } = response;
  const type = (headers.get("Content-Type") ?? "").split(";")[0]?.trim().toLowerCase();
  if (status === 200 && type === "text/event-stream") return undefined;
  const answer = { ok: response.ok, status, body: readJson(await response.text()) };
  const words = reasonOf(answer, `the server answered ${status} ${type}`);
  const passing = status >= 500 || [408, 425, 429].includes(status);
  return end(words, !passing, 1000 * Number(headers.get("Retry-After")) || 0);
}

/** @param {string} words @param {boolean} [final] @param {number} [wait] @returns {End} */
const end = (words, final = false, wait = 0) => ({ words, final, wait });

/** Ends what hears nothing for too long. */
class Silence {
  tooLong = false;
  #allowed = PATIENCE;
  #timer = 0;
  #end = new AbortController();

  /** @param {AbortSignal} signal ends it too */
  constructor(signal) {
    this.signal = AbortSignal.any([signal, this.#end.signal]);
    this.heard();
  }

  /** @param {number} ms */
  allow(ms) {
    this.#allowed = ms;
    this.heard();
  }

  heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => ((this.tooLong = true), this.#end.abort()), this.#allowed);
  }

  over() {
    clearTimeout(this.#timer);
  }
}
