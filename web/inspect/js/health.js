// @ts-check
// Owns asking the hub how it is, now and then while somebody looks; never tries harder.

import { byId, say } from "../../js/dom.js";
import { count, size } from "./words.js";

const EVERY = 5_000;
const PATIENCE = 4_000;
const UNKNOWN = "–";

export class Health {
  #ready = byId("ready", HTMLElement);
  #subscribers = byId("subscribers", HTMLElement);
  #connections = byId("connections", HTMLElement);
  #log = byId("log-bytes", HTMLElement);

  constructor() {
    setInterval(() => document.hidden || void this.#look(), EVERY);
    void this.#look();
  }

  async #look() {
    const [ready, metrics] = await Promise.all([text("/readyz"), text("/metrics")]);
    say(this.#ready, ready ? (ready.ok ? "ready" : "not ready") : UNKNOWN);
    this.#ready.classList.toggle("bad", ready?.ok === false);
    /** @param {string} name @param {(n: number) => string} words */
    const read = (name, words) => {
      const found = new RegExp(`^eventwall_${name} (\\S+)$`, "m").exec(metrics?.text ?? "");
      return found ? words(Number(found[1])) : UNKNOWN;
    };
    say(this.#subscribers, read("subscribers", count));
    say(this.#connections, read("connections", count));
    say(this.#log, read("log_bytes", size));
  }
}

/** @param {string} url */
async function text(url) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
    return { ok: answer.ok, text: await answer.text() };
  } catch {
    return undefined;
  }
}
