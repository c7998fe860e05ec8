// @ts-check
// Owns starting the two browsers and handing out fresh pages; never skips a browser that is missing.

import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import puppeteer from "puppeteer-core";

import { whenLeaving } from "../../support/leaving.js";

/**
 * @typedef {import("puppeteer-core").Browser} Browser
 * @typedef {import("puppeteer-core").Page} Page
 * @typedef {import("../../support/server.js").Owner} Owner
 * @typedef {"chromium" | "firefox"} Name
 * @typedef {"light" | "dark"} Scheme
 */

/** @type {Name[]} */
export const BROWSERS = ["chromium", "firefox"];

const EXECUTABLES = { chromium: "/usr/bin/chromium", firefox: "/usr/bin/firefox-esr" };
const PACKAGES = { chromium: "chromium", firefox: "firefox-esr" };

const CHROMIUM_ARGS = [
  // Chromium has no sandbox for root, and refuses to start.
  ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Nothing but this machine can be reached, whatever the browser has in mind.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

const FIREFOX_PREFS = {
  "app.normandy.enabled": false,
  "app.update.disabledForTesting": true,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "captivedetect.canonicalURL": "",
  "datareporting.policy.dataSubmissionEnabled": false,
  "extensions.getAddons.cache.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "http://127.0.0.1:9/",
  "toolkit.telemetry.enabled": false,
  "ui.prefersReducedMotion": 1,
};

/**
 * @param {Name} name
 * @param {Scheme} scheme for Chromium, each page is told
 * @param {string} profiles a directory for its profile
 * @param {AbortSignal} signal kills it
 * @returns {Promise<Browser>}
 */
async function launch(name, scheme, profiles, signal) {
  const executablePath = EXECUTABLES[name];
  try {
    accessSync(executablePath, constants.X_OK);
  } catch {
    throw new Error(`${executablePath} is missing, and these tests need it: apt-get install ${PACKAGES[name]}`);
  }
  const shared = {
    executablePath,
    // Those that tests make sign themselves.
    acceptInsecureCerts: true,
    headless: true,
    signal,
    userDataDir: mkdtempSync(path.join(profiles, `${name}-`)),
    defaultViewport: { width: 1280, height: 860 },
    // Signals end this process, and that ends the browsers.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  };
  if (name === "chromium") {
    return puppeteer.launch({ ...shared, browser: "chrome", args: CHROMIUM_ARGS });
  }
  const override = scheme === "dark" ? 0 : 1;
  const extraPrefsFirefox = { ...FIREFOX_PREFS, "layout.css.prefers-color-scheme.content-override": override };
  return puppeteer.launch({ ...shared, browser: "firefox", extraPrefsFirefox });
}

/** Browsers shared by the tests of a file: each starts when first wanted. */
export class Browsers {
  /** @type {Map<string, Promise<Browser>>} */
  #started = new Map();
  #profiles = mkdtempSync(path.join(tmpdir(), "eventwall-profiles-"));
  #end = new AbortController();
  #settled = whenLeaving(() => {
    this.#end.abort();
    this.#forget();
  });

  /** @param {Owner["after"]} after */
  constructor(after) {
    after(() => this.#close());
  }

  /**
   * A page that shares no cookies with any other, until its owner is done.
   * @param {Owner} owner
   * @param {Name} name
   * @param {Scheme} [scheme]
   * @param {"tab" | "window"} [type] a tab in the background is hidden, and its timers are slow
   * @returns {Promise<Page>}
   */
  async page(owner, name, scheme = "light", type = "tab") {
    const browser = await this.#browser(name, scheme);
    const context = await browser.createBrowserContext();
    owner.after(() => context.close());
    const page = await context.newPage({ type });
    if (name === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    return page;
  }

  /** @param {Name} name @param {Scheme} scheme */
  #browser(name, scheme) {
    const key = `${name} ${scheme}`;
    const browser = this.#started.get(key) ?? launch(name, scheme, this.#profiles, this.#end.signal);
    this.#started.set(key, browser);
    return browser;
  }

  async #close() {
    const started = await Promise.allSettled(this.#started.values());
    await Promise.all(started.map((start) => start.status === "fulfilled" && start.value.close()));
    this.#forget();
    this.#settled();
  }

  // A browser that is just going may still write to its profile.
  #forget() {
    rmSync(this.#profiles, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
