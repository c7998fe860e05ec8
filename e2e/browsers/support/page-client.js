// @ts-check
// Owns following in a page with one kind of client, and the pages that are used for it.

/**
 * @typedef {import("puppeteer-core").Page} Page
 * @typedef {import("../../support/client.js").Client} Client
 * @typedef {import("./browser.js").Browsers} Browsers
 * @typedef {import("./browser.js").Name} BrowserName
 * @typedef {import("./in-page.js").PageRecord} PageRecord
 * @typedef {import("./kinds.js").Kind} Kind
 * @typedef {{ record: PageRecord }} Recording
 */

/** Pages of one browser. They are kept for whoever needs one next, and go with the browser. */
export class Pages {
  name;
  #browsers;
  /** @type {Page[]} */
  #idle = [];

  /**
   * @param {Browsers} browsers
   * @param {BrowserName} name
   */
  constructor(browsers, name) {
    this.#browsers = browsers;
    this.name = name;
  }

  async take() {
    return this.#idle.pop() ?? this.#browsers.page({ after() {} }, this.name, "light", "window");
  }

  /** @param {Page} page */
  giveBack(page) {
    this.#idle.push(page);
  }
}

/**
 * @param {Pages} pages
 * @param {Kind} kind
 * @param {(url: string) => string} [originOf] of the page that follows `url`; the same, unless said
 * @returns {Client}
 */
export function pageClient(pages, kind, originOf = (url) => new URL(url).origin) {
  return {
    ...kind.client,
    name: `${kind.client.name} in ${pages.name}`,
    async open(_owner, url, headers = {}) {
      const page = await pages.take();
      await begin(page, kind, originOf(url), url, headers);
      return {
        look: () => page.evaluate(look),
        close: async () => {
          await page.evaluate(close);
          pages.giveBack(page);
        },
      };
    },
  };
}

/**
 * Begins to follow `url` in a blank page.
 * @param {Page} page
 * @param {Kind} kind
 * @param {string} origin of the page
 * @param {string} url
 * @param {Record<string, string>} [headers]
 */
export async function begin(page, kind, origin, url, headers = {}) {
  await page.goto(`${origin}/healthz`);
  if (!kind.native) await page.evaluate("delete window.EventSource");
  for (const content of kind.scripts) await page.addScriptTag({ content });
  await kind.begin(page, url, headers);
}

function look() {
  const { record } = /** @type {Recording} */ (/** @type {unknown} */ (window));
  return { arrivals: record.arrivals, breaks: record.breaks, over: record.over() };
}

function close() {
  /** @type {Recording} */ (/** @type {unknown} */ (window)).record.close();
}
