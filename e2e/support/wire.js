// @ts-check
// Owns a proxy before a server: it shows what a client asks for, breaks an answer off where it is told
// to, or answers for a server that is not there.

import { once } from "node:events";
import { createServer, request as ask } from "node:http";

import { listen } from "./listening.js";
import { until } from "./until.js";

/**
 * @typedef {import("node:http").IncomingMessage} Incoming
 * @typedef {import("node:http").ServerResponse} Answer
 * @typedef {import("./server.js").Owner} Owner
 * @typedef {import("./server.js").Server} Server
 * @typedef {{ target: string, headers: import("node:http").IncomingHttpHeaders }} Asked
 */

const UNAVAILABLE = { "Content-Type": "application/problem+json", "Retry-After": "1" };

export class Wire {
  /** Where it answers, without a slash at the end. */
  origin = "";
  /** Every request for events, in order. @type {Asked[]} */
  asked = [];
  #server;
  #proxy = createServer((request, answer) => this.#pass(request, answer));
  #stopAfter = "";
  /** Breaks the answer that was stopped. @type {(() => void) | undefined} */
  #break;
  #refuse = false;

  /** @param {Server} server */
  constructor(server) {
    this.#server = server;
  }

  /**
   * @param {Owner} owner
   * @param {Server} server
   */
  static async start(owner, server) {
    const wire = new Wire(server);
    wire.origin = await listen(wire.#proxy);
    owner.after(() => wire.#close());
    return wire;
  }

  /**
   * The next answer stops right behind `text`; what comes before it passes with it, in one piece.
   * @param {string} text
   */
  stopAfter(text) {
    this.#stopAfter = text;
  }

  async untilStopped() {
    await until("an answer to be stopped", () => this.#break !== undefined);
  }

  /** Breaks off the answer that was stopped. */
  break() {
    this.#break?.();
  }

  /** The next request for events is answered `503`, as by a proxy whose server is away. */
  refuseNext() {
    this.#refuse = true;
  }

  /**
   * @param {Incoming} request
   * @param {Answer} answer
   */
  #pass(request, answer) {
    const target = request.url ?? "";
    const forEvents = /^\/(topics|events)\b/.test(target);
    if (forEvents) this.asked.push({ target, headers: request.headers });
    if (forEvents && this.#refuse) {
      this.#refuse = false;
      answer.writeHead(503, UNAVAILABLE).end('{"title":"Service Unavailable","status":503}');
      return;
    }
    const onward = ask(this.#server.origin + target, { method: request.method, headers: request.headers, agent: false });
    onward.on("response", (incoming) => this.#answer(incoming, answer));
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    request.pipe(onward);
  }

  /**
   * @param {Incoming} incoming
   * @param {Answer} answer
   */
  #answer(incoming, answer) {
    answer.writeHead(incoming.statusCode ?? 502, incoming.headers);
    answer.flushHeaders();
    let held = Buffer.alloc(0);
    let stopped = false;
    incoming.on("data", (/** @type {Buffer} */ bytes) => {
      if (stopped) return;
      if (!this.#stopAfter) return void answer.write(bytes);
      held = Buffer.concat([held, bytes]);
      const at = held.indexOf(this.#stopAfter);
      if (at === -1) return;
      answer.write(held.subarray(0, at + Buffer.byteLength(this.#stopAfter)));
      this.#stopAfter = "";
      stopped = true;
      this.#break = () => answer.destroy();
    });
    incoming.on("end", () => stopped || answer.end(held));
    incoming.on("error", () => stopped || answer.destroy());
  }

  async #close() {
    this.#proxy.closeAllConnections();
    this.#proxy.close();
    await once(this.#proxy, "close");
  }
}
