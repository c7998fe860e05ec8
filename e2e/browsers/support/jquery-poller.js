// @ts-check
// Owns a poller as pages had it in 2011: jQuery, complete answers only, half a second between two. It
// runs in the page; jQuery says by `X-Requested-With` that the answer should end with its first events.

/**
 * @typedef {import("../../support/client.js").Arrival} Arrival
 * @typedef {{ ajax(settings: object): { abort(): void } }} JQuery
 * @typedef {{ jQuery: JQuery, parseEvents(text: string): Arrival[] }} Page
 */

/**
 * @param {string} url
 * @param {Record<string, string>} headers
 */
export function pollWithJQuery(url, headers) {
  const { jQuery, parseEvents } = /** @type {Page} */ (/** @type {unknown} */ (window));
  const record = { arrivals: /** @type {Arrival[]} */ ([]), breaks: 0, over: () => false, close };
  let lastId = "";
  let stopped = false;
  let request = poll();

  function poll() {
    return jQuery.ajax({ url, headers, data: lastId && { lastEventId: lastId }, dataType: "text", cache: false, success, error, complete });
  }

  /** @param {string} text */
  function success(text) {
    for (const event of parseEvents(text)) {
      record.arrivals.push(event);
      lastId = event.id || lastId;
    }
  }

  function error() {
    record.breaks += 1;
  }

  function complete() {
    if (!stopped) setTimeout(() => (request = poll()), 500);
  }

  function close() {
    stopped = true;
    request.abort();
  }

  Object.assign(window, { record });
}
