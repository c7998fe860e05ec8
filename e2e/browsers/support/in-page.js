// @ts-check
// Owns how each library is begun in a page, as its own documentation says. These functions run in the
// page, and each leaves a record on its window.

/**
 * @typedef {import("../../support/client.js").Arrival} Arrival
 * @typedef {{ arrivals: Arrival[], breaks: number, over(): boolean, close(): void }} PageRecord
 */

/**
 * What is, or has the shape of, the browsers' EventSource.
 * @param {string} url
 * @param {string[]} names
 * @param {object} options
 */
export function useEventSource(url, names, options) {
  const source = new EventSource(url, options);
  /** @type {PageRecord} */
  const record = { arrivals: [], breaks: 0, over: () => source.readyState === 2, close: () => source.close() };
  for (const event of names) {
    source.addEventListener(event, ({ data, lastEventId }) => record.arrivals.push({ id: lastEventId, event, data }));
  }
  source.onerror = () => (record.breaks += 1);
  Object.assign(window, { record });
}

/**
 * The hub's own client, as a page has it that was there before.
 * @param {string} url
 * @param {string[]} names
 * @param {object} options
 * @param {string} module its text
 */
export async function useEventwall(url, names, options, module) {
  const { Eventwall } = await import(URL.createObjectURL(new Blob([module], { type: "text/javascript" })));
  Object.assign(window, { EventSource: Eventwall });
  useEventSource(url, names, options);
}

/**
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {boolean} stays it takes a clean end of the stream for the end of all, unless `onclose` throws
 */
export function useFetchEventSource(url, headers, stays) {
  /** @typedef {typeof import("@microsoft/fetch-event-source")} Library */
  const { fetchEventSource } = /** @type {Library} */ (/** @type {unknown} */ (window));
  const end = new AbortController();
  let over = false;
  /** @type {PageRecord} */
  const record = { arrivals: [], breaks: 0, over: () => over, close: () => end.abort() };
  const following = fetchEventSource(url, {
    headers,
    signal: end.signal,
    onmessage({ id, event, data }) {
      // It also calls for a block that has no event, such as a lone `retry:`.
      if (id || event || data) record.arrivals.push({ id, event: event || "message", data });
    },
    onclose() {
      if (stays) throw new Error("come back");
    },
    onerror: () => void (record.breaks += 1),
  });
  following.finally(() => (over = true));
  Object.assign(window, { record });
}

/**
 * @param {string} url
 * @param {string[]} names
 */
export function useHtmx(url, names) {
  const { htmx } = /** @type {{ htmx: { process(element: Element): void } }} */ (/** @type {unknown} */ (window));
  /** @type {EventSource | undefined} */
  let source;
  /** @type {PageRecord} */
  const record = { arrivals: [], breaks: 0, over: () => false, close: () => source?.close() };
  const wall = document.createElement("div");
  const attributes = { id: "wall", "hx-ext": "sse", "sse-connect": url, "sse-swap": names.join(","), "hx-swap": "beforeend" };
  for (const [name, value] of Object.entries(attributes)) wall.setAttribute(name, value);
  const listen = (/** @type {string} */ name, /** @type {(detail: any) => void} */ heard) =>
    wall.addEventListener(name, (event) => heard(/** @type {CustomEvent} */ (event).detail));
  listen("htmx:sseOpen", (detail) => (source = detail.source));
  listen("htmx:sseError", () => (record.breaks += 1));
  listen("htmx:sseMessage", ({ lastEventId, type, data }) => record.arrivals.push({ id: lastEventId, event: type, data }));
  document.body.replaceChildren(wall);
  htmx.process(wall);
  Object.assign(window, { record });
}
