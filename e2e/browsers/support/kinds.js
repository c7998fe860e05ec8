// @ts-check
// Owns what there is to follow with in a page: each library's scripts, how it is begun, and its limits.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { NAMES } from "../../support/client.js";
import { parseEvents } from "./event-stream.js";
import { useEventSource, useEventwall, useFetchEventSource, useHtmx } from "./in-page.js";
import { pollWithJQuery } from "./jquery-poller.js";
import { followWithXhr } from "./xhr-poller.js";

/**
 * @typedef {import("puppeteer-core").Page} Page
 * @typedef {import("../../support/client.js").Client} Client
 * @typedef {Record<string, string>} Headers
 * @typedef {{ client: Omit<Client, "open">, scripts: string[], native?: boolean,
 *   begin(page: Page, url: string, headers: Headers): Promise<void> }} Kind its scripts, whether the
 *   page keeps its own EventSource, and how following begins
 */

const USUAL_ABORT = 50_000;
const EVENTWALL = readFileSync(new URL("../../../web/eventwall.js", import.meta.url), "utf8");

/** A file of a package. @param {string} name */
function text(name) {
  return readFileSync(createRequire(import.meta.url).resolve(name), "utf8");
}

/** CommonJS modules for a page that has none: the last one's exports go to its window. @param {string[]} names */
function bundle(...names) {
  const modules = names.map((name) => {
    const key = JSON.stringify(`./${name.split("/").at(-1)?.replace(/\.js$/, "")}`);
    return `{ const exports = loaded[${key}] = {}; ${text(name)}\nObject.assign(last, exports); }`;
  });
  return `{ const loaded = {}, last = {}, require = (name) => loaded[name]; ${modules.join("\n")} Object.assign(window, last); }`;
}

/** @type {Kind} */
export const native = {
  client: { name: "EventSource", tells: "header", ends: { unavailable: "always" } },
  scripts: [],
  native: true,
  begin: (page, url) => page.evaluate(useEventSource, url, NAMES, {}),
};

/** @type {Kind} */
export const eventwall = {
  client: { name: "eventwall.js", tells: "header", headers: true },
  scripts: [String(useEventSource)],
  begin: (page, url, headers) => page.evaluate(useEventwall, url, NAMES, { headers }, EVENTWALL),
};

/** @type {Kind} */
export const eventSourcePolyfill = {
  client: { name: "event-source-polyfill", tells: "query", headers: true, ends: { unavailable: "always" } },
  scripts: [text("event-source-polyfill")],
  begin: (page, url, headers) => page.evaluate(useEventSource, url, NAMES, { headers }),
};

/** @type {Kind} */
export const eventsourcePolyfill = {
  client: {
    name: "eventsource-polyfill",
    tells: "header",
    headers: true,
    polls: true,
    ends: { broken: "always", refused: "always", stopped: "sometimes", unavailable: "always" },
    largest: 256 * 1024,
    reads: (data) => data.split("\n").map((line) => line.trim()).join("\n") || null,
  },
  scripts: [text("eventsource-polyfill/dist/eventsource.js")],
  begin: (page, url, headers) => {
    const always = { Accept: "text/event-stream", "Cache-Control": "no-cache", "X-Requested-With": "XMLHttpRequest" };
    return page.evaluate(useEventSource, url, NAMES, { xhrHeaders: { ...always, ...headers } });
  },
};

/**
 * @param {boolean} [stays] comes back after a clean end, as it does not by itself
 * @returns {Kind}
 */
export function fetchEventSource(stays = true) {
  return {
    client: {
      name: "fetch-event-source",
      tells: "header",
      headers: true,
      losesBroken: true,
      reads: (data) => data.replace(/^\n+/, ""),
    },
    scripts: [bundle("@microsoft/fetch-event-source/lib/cjs/parse.js", "@microsoft/fetch-event-source/lib/cjs/fetch.js")],
    begin: (page, url, headers) => page.evaluate(useFetchEventSource, url, headers, stays),
  };
}

/** @type {Kind} */
export const htmx = {
  client: { name: "htmx", tells: "header" },
  scripts: [text("htmx.org/dist/htmx.js"), text("htmx-ext-sse/sse.js")],
  native: true,
  begin: (page, url) => page.evaluate(useHtmx, url, NAMES),
};

/** @type {Kind} */
export const jquery = {
  client: { name: "a jQuery poller", tells: "query", headers: true, polls: true },
  scripts: [text("jquery/dist/jquery.js"), String(parseEvents)],
  begin: (page, url, headers) => page.evaluate(pollWithJQuery, url, headers),
};

/**
 * @param {number} [abortAfter] milliseconds
 * @returns {Kind}
 */
export function xhr(abortAfter = USUAL_ABORT) {
  return {
    client: { name: "an XHR poller", tells: "header", headers: true },
    scripts: [String(parseEvents)],
    begin: (page, url, headers) => page.evaluate(followWithXhr, url, headers, abortAfter),
  };
}

export const KINDS = [native, eventwall, eventSourcePolyfill, eventsourcePolyfill, fetchEventSource(), htmx, jquery, xhr()];
