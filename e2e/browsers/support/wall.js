// @ts-check
// Owns using the wall's page as a visitor does, by what is on it; never reaches into its scripts.

import { overflow } from "./fine.js";
import { until, untilEqual } from "../../support/until.js";

/**
 * @typedef {import("puppeteer-core").Page} Page
 * @typedef {import("../../support/server.js").Server} Server
 * @typedef {"msg" | "place" | "through" | "location" | "name"} FieldName
 * @typedef {{ kind?: "status" | "checkin" | "forward" } & Partial<{ [field in FieldName]: string }>} Draft
 * @typedef {{ id: string, kind: string, author: string | null, text: string | null, place: string | null,
 *   through: string | null, location: string | null, mine: boolean, api: boolean }} Shown
 */

/** @type {FieldName[]} */
const FIELDS = ["place", "through", "msg", "location", "name"];

export class WallPage {
  page;

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
  }

  /**
   * Opens a wall and waits until it is live.
   * @param {Page} page
   * @param {Server} server
   * @param {string} [wall]
   */
  static async open(page, server, wall) {
    const path = wall === undefined ? "/" : `/walls/${encodeURIComponent(wall)}`;
    await page.goto(server.origin + path);
    const opened = new WallPage(page);
    await opened.untilState("live");
    return opened;
  }

  /**
   * Fills the form and presses Post; what comes of it is for the caller to see.
   * @param {Draft} draft
   */
  async submit({ kind = "status", ...words }) {
    await this.page.click(`.kind[data-kind="${kind}"]`);
    for (const field of FIELDS) {
      const text = words[field];
      if (text !== undefined) await this.fill(field, text);
    }
    await this.page.click("#send");
  }

  /**
   * Posts, and waits until the page says so.
   * @param {Draft} draft
   */
  async post(draft) {
    await this.submit(draft);
    await untilEqual(() => this.text("#composer-note"), "Posted.");
  }

  /**
   * Replaces a field's text at once, as pasting does.
   * @param {FieldName} field
   * @param {string} text
   */
  async fill(field, text) {
    await this.page.$eval(
      `#${field}`,
      (element, text) => {
        if (!(element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement)) throw new Error("no field");
        element.value = text;
        element.dispatchEvent(new Event("input", { bubbles: true }));
      },
      text,
    );
  }

  /**
   * The posts on the page, oldest first.
   * @returns {Promise<Shown[]>}
   */
  posts() {
    return this.page.$$eval("#posts > article.post", (cards) =>
      cards.reverse().map((card) => {
        /** @param {string} selector */
        const text = (selector) => card.querySelector(selector)?.textContent ?? null;
        return {
          id: card.dataset.id ?? "",
          kind: card.dataset.kind ?? "",
          author: text(".post-author"),
          text: text(".post-text"),
          place: text(".post-place"),
          through: text(".post-through bdi"),
          location: text(".post-location bdi"),
          mine: card.querySelector(".badge.you") !== null,
          api: card.querySelector(".badge.api") !== null,
        };
      }),
    );
  }

  /**
   * Posts a status without a mouse, which a page in the background has no use for.
   * @param {string} msg
   */
  async write(msg) {
    await this.fill("msg", msg);
    await this.page.$eval("#composer", (form) => /** @type {HTMLFormElement} */ (form).requestSubmit());
  }

  /** Changes a post of its own. @param {string} from @param {string} to */
  async change(from, to) {
    await this.#press(from, ".edit");
    await untilEqual(() => this.value("msg"), from);
    await this.write(to);
    await until(`${to} on the wall`, async () => (await this.texts()).includes(to));
  }

  /** Takes a post of its own back. @param {string} msg */
  async takeBack(msg) {
    await this.page.evaluate(() => void (window.confirm = () => true));
    await this.#press(msg, ".remove");
    await until(`${msg} to be gone`, async () => !(await this.texts()).includes(msg));
  }

  /** @param {string} msg @param {string} button */
  async #press(msg, button) {
    await until(`${msg} on the wall`, async () => (await this.texts()).includes(msg));
    const press = (/** @type {string} */ text, /** @type {string} */ selector) => {
      const cards = [...document.querySelectorAll("#posts > .post")];
      const card = cards.find((one) => one.querySelector(".post-text")?.textContent === text);
      const found = card?.querySelector(`.post-tools ${selector}`);
      if (found instanceof HTMLButtonElement) found.click();
    };
    await this.page.evaluate(press, msg, button);
  }

  /** Posts on their way, oldest first: what becomes of each, and what it says. */
  pending() {
    return this.page.$$eval(".pending-item", (items) =>
      items.reverse().map((item) => {
        const words = item.querySelector(".post-text, .post-place")?.textContent;
        return `${/** @type {HTMLElement} */ (item).dataset.stage} ${words}`;
      }),
    );
  }

  async ids() {
    return (await this.posts()).map(({ id }) => id);
  }

  /** What each post says: its text, or its place. */
  async texts() {
    return (await this.posts()).map(({ text, place }) => text ?? place);
  }

  /** @param {(string | null)[]} expected oldest first */
  untilTexts(expected) {
    return untilEqual(() => this.texts(), expected);
  }

  /** @param {string} state */
  untilState(state) {
    return untilEqual(() => this.state(), state);
  }

  state() {
    return this.page.$eval("#connection", (element) => (element instanceof HTMLElement ? element.dataset.state : ""));
  }

  /** @param {string} selector */
  text(selector) {
    return this.page.$eval(selector, (element) => element.textContent);
  }

  /** @param {FieldName} field */
  value(field) {
    return this.page.$eval(`#${field}`, (element) => /** @type {HTMLInputElement} */ (element).value);
  }

  /** @param {string} selector */
  visible(selector) {
    return this.page.$eval(selector, (element) => element.checkVisibility());
  }

  /** @param {string} selector */
  async untilVisible(selector) {
    await until(`${selector} to be visible`, () => this.visible(selector));
  }

  /** @param {string} selector */
  async untilHidden(selector) {
    await until(`${selector} to be hidden`, async () => !(await this.visible(selector)));
  }

  focused() {
    return this.page.evaluate(() => document.activeElement?.id ?? "");
  }

  /** How many pixels the page is wider than its window. */
  overflow() {
    return overflow(this.page);
  }
}
