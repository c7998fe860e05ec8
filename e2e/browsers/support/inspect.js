// @ts-check
// Owns using the inspector's page as its reader does, by what is on it; never reaches into its scripts.

import { until, untilEqual } from "../../support/until.js";

/**
 * @typedef {import("puppeteer-core").Page} Page
 * @typedef {import("../../support/server.js").Server} Server
 * @typedef {{ kind: string, id: string, topic: string | null, name: string, text: string }} Row
 * @typedef {{ why: string, left: string, back: string, came: string, gap: string }} Break
 * @typedef {{ topic?: string, event?: string, data?: string, ephemeral?: boolean }} Draft
 */

export class InspectPage {
  page;

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
  }

  /**
   * Opens the page and waits until it is live.
   * @param {Page} page
   * @param {Server} server
   * @param {string} [query] with its question mark
   */
  static async open(page, server, query = "") {
    await page.goto(`${server.origin}/inspect${query}`);
    const opened = new InspectPage(page);
    await opened.untilState("live");
    return opened;
  }

  /**
   * All rows, oldest first.
   * @returns {Promise<Row[]>}
   */
  rows() {
    return this.page.$$eval("#frames > li.row", (rows) =>
      rows.reverse().map((row) => {
        /** @param {string} selector */
        const text = (selector) => row.querySelector(selector)?.textContent ?? null;
        return {
          kind: row.dataset.kind ?? "",
          id: row.dataset.id ?? "",
          topic: text(".row-topic"),
          name: text(".row-name") ?? "",
          text: text(".row-data") ?? text(".row-words") ?? "",
        };
      }),
    );
  }

  /** The rows of events, oldest first. */
  async events() {
    return (await this.rows()).filter(({ kind }) => kind === "event");
  }

  async texts() {
    return (await this.events()).map(({ text }) => text);
  }

  /** @param {string[]} expected oldest first */
  untilTexts(expected) {
    return untilEqual(() => this.texts(), expected);
  }

  /** The texts of the rows that the filter shows, oldest first. */
  shown() {
    return this.page.$$eval("#frames > .row:not([hidden]) .row-data", (texts) => texts.reverse().map(({ textContent }) => textContent));
  }

  /**
   * The breaks of the line, newest first.
   * @returns {Promise<Break[]>}
   */
  breaks() {
    return this.page.$$eval("#breaks > .break", (rows) =>
      rows.map((row) => {
        /** @param {string} name */
        const text = (name) => row.querySelector(`.break-${name}`)?.textContent ?? "";
        return { why: text("why"), left: text("left"), back: text("back"), came: text("came"), gap: text("gap") };
      }),
    );
  }

  /** Topics, and how many events each had. */
  topics() {
    return this.page.$$eval("#topics tr", (rows) =>
      rows.map((row) => [row.querySelector("a")?.textContent ?? "", row.querySelector(".topic-count")?.textContent ?? ""]),
    );
  }

  /**
   * Fills the form that publishes and presses Publish; what comes of it is for the caller to see.
   * @param {Draft} draft
   */
  async publish({ topic = "", event = "", data = "", ephemeral = false }) {
    await this.fill("publish-topic", topic);
    await this.fill("publish-event", event);
    await this.fill("publish-data", data);
    const checked = await this.page.$eval("#publish-ephemeral", (box) => /** @type {HTMLInputElement} */ (box).checked);
    if (checked !== ephemeral) await this.page.click("#publish-ephemeral");
    await this.page.click("#publish-send");
  }

  /** Cuts the line, and waits until the page says so. */
  async cut() {
    await this.page.click("#cut");
    await this.untilState("cut");
  }

  /** Resumes, and waits until replay is over. */
  async resume() {
    const lives = async () => (await this.rows()).filter(({ kind }) => kind === "live").length;
    const before = await lives();
    await this.page.click("#cut");
    await until("replay to be over", async () => (await lives()) > before);
  }

  /**
   * Replaces a field's text at once, as pasting does.
   * @param {string} id
   * @param {string} text
   */
  async fill(id, text) {
    await this.page.$eval(
      `#${id}`,
      (element, text) => {
        if (!(element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement)) throw new Error("no field");
        element.value = text;
        element.dispatchEvent(new Event("input", { bubbles: true }));
      },
      text,
    );
  }

  /** @param {string} state */
  untilState(state) {
    return untilEqual(() => this.page.$eval("#connection", (element) => element.getAttribute("data-state") ?? ""), state);
  }

  /** @param {string} id */
  text(id) {
    return this.page.$eval(`#${id}`, (element) => element.textContent ?? "");
  }

  /** @param {string} id */
  value(id) {
    return this.page.$eval(`#${id}`, (element) => /** @type {HTMLInputElement} */ (element).value);
  }

  /** Opens the newest row of an event with this text. @param {string} text */
  async unfold(text) {
    await this.page.$$eval(
      "#frames > .row:not([hidden]) summary",
      (rows, text) => rows.find((row) => row.querySelector(".row-data")?.textContent === text)?.click(),
      text,
    );
    await until("what is behind the row", () => this.page.$("#frames details[open] pre"));
  }
}
