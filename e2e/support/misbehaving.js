// @ts-check
// Owns a server that answers exactly what it is told, one answer a request, well or badly.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import { listen } from "./listening.js";

/**
 * @typedef {object} Answer
 * @property {number} [status]
 * @property {Record<string, string>} [headers] instead of those of a stream
 * @property {string | Uint8Array} [body]
 * @property {"end" | "hold" | "break" | "drip"} [then] what becomes of the answer behind its body; it breaks
 *   once [`Misbehaving.break`] says so; it drips some comments before it falls silent
 * @property {string} [redirect] where to; `ELSEWHERE` stands for the same server by another origin
 *
 * @typedef {{ method: string, path: string, headers: import("node:http").IncomingHttpHeaders, body: string, at: number }} Asked
 */

/** Milliseconds between drips, and how many. */
const [DRIP, DRIPS] = [150, 5];
const STREAM = { "Content-Type": "text/event-stream", "Cache-Control": "no-store" };
const SCRIPTS = new Map(["eventwall.js", "eventsource.js"].map((name) => [`/${name}`, new URL(`../../web/${name}`, import.meta.url)]));

export class Misbehaving {
  /** Where it answers, without a slash at the end. */
  origin = "";
  /** Another origin, with the same answers. */
  elsewhere = "";
  /** Requests for streams, in order. @type {Asked[]} */
  asked = [];
  /** Requests for streams whose answers are not over. */
  open = 0;
  #answers;
  /** @type {import("node:http").ServerResponse[]} */
  #breakable = [];
  #servers = [1, 2].map(() => createServer((request, response) => void this.#answer(request, response)));

  /** @param {Answer[]} answers the last one is repeated */
  constructor(answers) {
    this.#answers = answers;
  }

  /**
   * @param {import("./server.js").Owner} owner
   * @param {Answer[]} answers
   */
  static async start(owner, answers) {
    const server = new Misbehaving(answers);
    [server.origin = "", server.elsewhere = ""] = await Promise.all(server.#servers.map(listen));
    owner.after(() => server.#close());
    return server;
  }

  async #close() {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  async #answer(request, response) {
    const path = request.url ?? "";
    const script = SCRIPTS.get(path);
    if (script) return response.writeHead(200, { "Content-Type": "text/javascript" }).end(await readFile(script));
    if (!path.startsWith("/stream")) return response.writeHead(200, { "Content-Type": "text/html" }).end("<title>a page</title>");
    if (request.method === "OPTIONS") return response.writeHead(204, { ...allowing(request), "Access-Control-Allow-Headers": "*" }).end();
    let body = "";
    for await (const piece of request.setEncoding("latin1")) body += piece;
    const answer = this.#answers[Math.min(this.asked.length, this.#answers.length - 1)] ?? {};
    this.asked.push({ method: request.method ?? "", path, headers: request.headers, body, at: Date.now() });
    this.open += 1;
    response.on("close", () => (this.open -= 1));
    return this.#give(answer, request, response);
  }

  /**
   * @param {Answer} answer
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  #give({ status = 200, headers, body = "", then = "end", redirect }, request, response) {
    response.writeHead(status, { ...allowing(request), ...(headers ?? STREAM), ...this.#location(redirect) });
    response.flushHeaders();
    if (body) response.write(body);
    if (then === "end") response.end();
    if (then === "break") this.#breakable.push(response);
    if (then === "drip") for (let n = 1; n <= DRIPS; n += 1) setTimeout(() => response.write(": drip\n"), n * DRIP);
  }

  /** Resets the lines that are to break. */
  break() {
    for (const response of this.#breakable.splice(0)) response.destroy();
  }

  /** @param {string | undefined} to @returns {Record<string, string>} */
  #location(to) {
    return to === undefined ? {} : { "Content-Type": "text/plain", Location: to.replace("ELSEWHERE", this.elsewhere) };
  }
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @returns {Record<string, string>}
 */
function allowing({ headers: { origin } }) {
  return origin ? { "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true" } : {};
}
