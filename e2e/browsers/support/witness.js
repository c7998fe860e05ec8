// @ts-check
// Owns noticing what a page must never do: run what is text, complain, or talk to other hosts.

/** @typedef {import("puppeteer-core").Page} Page */

export class Witness {
  /** Each thing seen, in words. @type {string[]} */
  seen = [];
  /** Every address asked for. @type {string[]} */
  requests = [];
  #page;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
  }

  /**
   * Call it before the page is opened.
   * @param {Page} page
   */
  static async watch(page) {
    const witness = new Witness(page);
    page.on("dialog", (dialog) => {
      witness.seen.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) witness.seen.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => witness.seen.push(`error: ${error}`));
    page.on("request", (request) => witness.requests.push(request.url()));
    await page.evaluateOnNewDocument(() => {
      /** @type {string[]} */
      const breaches = [];
      Object.assign(window, { breaches });
      document.addEventListener("securitypolicyviolation", (event) => {
        breaches.push(`policy: ${event.violatedDirective} ${event.blockedURI}`);
      });
    });
    return witness;
  }

  /** Everything that should not have happened; empty if all is well. */
  async complaints() {
    const inPage = await this.#page.evaluate(() => {
      const { breaches, pwned } = /** @type {{ breaches?: string[], pwned?: unknown }} */ (window);
      return [...(breaches ?? ["nobody watched"]), ...(pwned === undefined ? [] : [`script ran: ${pwned}`])];
    });
    return [...this.seen, ...inPage];
  }

  /**
   * Addresses of other hosts than the one given.
   * @param {string} origin
   */
  strangers(origin) {
    return this.requests.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith("data:"));
  }
}
