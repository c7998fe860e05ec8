// @ts-check
// Owns what HTTP/2 over TLS gives browsers: as many streams as a page wants, on one connection.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";

import { BROWSERS, Browsers } from "./support/browser.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";

const browsers = new Browsers(after);
// HTTP/1.1 would let a page have six.
const STREAMS = 20;

/**
 * A certificate that signs itself, until its owner is done.
 * @param {import("../support/server.js").Owner} owner
 * @returns {{ cert: string, key: string }} its files
 */
function certificate(owner) {
  const folder = mkdtempSync(path.join(tmpdir(), "eventwall-tls-"));
  owner.after(async () => rmSync(folder, { recursive: true }));
  const [cert, key] = [path.join(folder, "cert.pem"), path.join(folder, "key.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9"];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  execFileSync("openssl", ["req", ...kind, ...names, "-keyout", key, "-out", cert], { stdio: "pipe" });
  return { cert, key };
}

/**
 * Opens the streams in a page, each on a topic of its own.
 * @param {import("puppeteer-core").Page} page
 */
const follow = (page) =>
  page.evaluate((count) => {
    const seen = Array.from({ length: count }, () => /** @type {string[]} */ ([]));
    Object.assign(window, { seen });
    seen.forEach((all, i) => {
      const source = new EventSource(`/topics/many/${i}`);
      source.onmessage = (event) => all.push(event.data);
      source.addEventListener("eventwall:tick", () => all.push("tick"), { once: true });
      source.onerror = () => all.push("an error");
    });
  }, STREAMS);

/** @param {import("puppeteer-core").Page} page @returns {Promise<string[][]>} */
const seen = async (page) => /** @type {string[][]} */ (await page.evaluate("window.seen"));

/** @param {import("puppeteer-core").Page} page */
const metrics = (page) => page.evaluate(async () => (await fetch("/metrics")).text());

/** @param {string} text @param {string} name */
const value = (text, name) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]);

for (const name of BROWSERS) {
  test(`${name}: twenty EventSources of a page share one connection, and all resume`, async (t) => {
    const { cert, key } = certificate(t);
    const server = await Server.start(t, ["--tls-cert", cert, "--tls-key", key]);
    const page = await browsers.page(t, name);
    await page.goto(`${server.origin}/healthz`);
    await follow(page);
    const all = (/** @type {string[]} */ expected) => Array.from({ length: STREAMS }, () => expected);
    await untilEqual(() => seen(page), all(["tick"]), "every stream to be live");
    const protocol = await page.evaluate(
      () => /** @type {PerformanceNavigationTiming} */ (performance.getEntriesByType("navigation")[0]).nextHopProtocol,
    );
    assert.equal(protocol, "h2");
    const counted = await metrics(page);
    assert.equal(value(counted, "eventwall_subscribers"), STREAMS);
    assert.equal(value(counted, "eventwall_connections"), 1);
    const publish = (/** @type {string} */ data) =>
      page.evaluate(
        (count, body) =>
          Promise.all(Array.from({ length: count }, (_, i) => fetch(`/topics/many/${i}`, { method: "POST", body }))),
        STREAMS,
        data,
      );
    await publish("first");
    await untilEqual(() => seen(page), all(["tick", "first"]), "every stream to have the event");
    await server.kill("SIGKILL");
    await until("every stream to notice", async () => (await seen(page)).every((one) => one.includes("an error")));
    await server.restart();
    await until("the server to be reached again", () => publish("second").then(() => true, () => false));
    const told = async () => (await seen(page)).map((one) => one.filter((data) => data !== "tick" && data !== "an error"));
    await until("every stream to go on", async () => (await told()).every((one) => one.includes("second")), 30_000);
    assert.deepEqual((await told()).map((one) => one[0]), Array.from({ length: STREAMS }, () => "first"));
  });
}
