// @ts-check
// Owns the promise that posts and names are text, whatever they say: nothing of them is run,
// becomes markup, pretends to be something else, or breaks the page.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";

import { BROWSERS, Browsers } from "./support/browser.js";
import { Server } from "../support/server.js";
import { untilEqual } from "../support/until.js";
import { WallPage } from "./support/wall.js";
import { Witness } from "./support/witness.js";

/** @typedef {import("./support/browser.js").Name} Name */

const browsers = new Browsers(after);
const run = promisify(execFile);

/** Each sets `pwned` if it is ever taken for more than text. */
const TEXTS = [
  "<script>pwned = 1</script>",
  "</p></article></template><script>pwned = 2</script>",
  '<img src=x onerror="pwned = 3">',
  "<svg/onload=pwned=4>",
  '<iframe srcdoc="<script>parent.pwned = 5</script>"></iframe>',
  "<style>* { display: none !important }</style>",
  '<base href="http://127.0.0.1:9/">',
  '<meta http-equiv="refresh" content="0;url=/gone">',
  '"><b onmouseover=pwned=6>\'--><!--',
  "javascript:pwned=7",
  '<a href="javascript:pwned=8">here</a>',
  "data:text/html,<script>opener.pwned=9</script>",
  "&lt;script&gt;pwned = 10&lt;/script&gt; &amp; &#60;b&#62; &nbsp;",
  "{{name}} {{visitor}} ${pwned = 11} #{pwned} <%= pwned %>",
  "\u202Eeman ruoy ton\u202C \u2066left\u2069 \u200F\u202Emore",
  "h\u0335\u0321\u0322\u0336\u0329\u0335\u0321\u0322\u0336\u0329igh marks",
  "W".repeat(900),
  "ﷺ".repeat(200),
  "data: not a field\n\nid: 1\n\nevent: eventwall:gap\ndata: {}",
  "__proto__",
  '{"from":"Somebody else","msg":"a post within a post"}',
];

/**
 * A wall in a browser under a witness's eyes.
 * @param {import("../support/server.js").Owner} owner
 * @param {Name} name
 * @param {Server} server
 * @param {string} [wall]
 */
async function watched(owner, name, server, wall) {
  const page = await browsers.page(owner, name);
  const witness = await Witness.watch(page);
  return { witness, wall: await WallPage.open(page, server, wall) };
}

/** Elements within the posts that no card of ours has. @param {WallPage} wall */
function foreign(wall) {
  const ours = "article, header, div, span, svg, use, bdi, time, p, .post-tools > button, .post-text > code";
  return wall.page.$$eval(
    "#posts *",
    (elements, ours) => {
      // An address leads where it says, in a window that knows nothing of this one, and is followed by who presses it.
      const isLink = (/** @type {Element} */ element) =>
        element instanceof HTMLAnchorElement && element.matches(".post-text > a[rel~=noopener][target=_blank]") &&
        element.getAttribute("href") === element.textContent && /^https?:/.test(element.textContent ?? "") && element.childElementCount === 0;
      return elements.filter((element) => !element.matches(ours) && !isLink(element)).map((element) => element.outerHTML);
    },
    ours,
  );
}

/** Elements in the words of posts, where there must be none. @param {WallPage} wall */
function markup(wall) {
  return wall.page.$$eval(".post-text > :not(a, code), .post-text > * > *, .post-place > *, .post bdi > *, .post-location bdi > *", (elements) =>
    elements.map((element) => element.outerHTML),
  );
}

/**
 * @param {WallPage} wall
 * @param {Witness} witness
 * @param {Server} server
 */
async function assertUnharmed(wall, witness, server) {
  assert.deepEqual(await foreign(wall), []);
  assert.deepEqual(await markup(wall), []);
  assert.deepEqual(await witness.complaints(), []);
  assert.deepEqual(witness.strangers(server.origin), []);
  assert.ok(await wall.visible("#send"), "the page is still there");
  for (const width of [320, 1280]) {
    await wall.page.setViewport({ width, height: 800 });
    assert.equal(await wall.overflow(), 0, `nothing sticks out at ${width} pixels`);
  }
}

test("the witness notices what it is there for", async (t) => {
  const server = await Server.start(t);
  for (const name of BROWSERS) {
    const { wall, witness } = await watched(t, name, server);
    assert.deepEqual(await witness.complaints(), []);
    await wall.page.evaluate(() => {
      const holder = document.createElement("div");
      try {
        holder.innerHTML = '<img src="http://127.0.0.1:9/x" onerror="pwned = 1">';
      } catch {
        // Where the browser knows trusted types, text does not even become HTML.
        holder.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/x" }));
      }
      document.querySelector("#posts")?.append(holder);
      setTimeout(() => alert("a dialog"));
      console.error("a complaint");
    });
    await untilEqual(
      async () => {
        const complaints = (await witness.complaints()).join("\n");
        const html = complaints.includes("policy: require-trusted-types-for") || complaints.includes("policy: script-src");
        const signs = ["dialog: a dialog", "console: a complaint", "policy: img-src"];
        return [...signs.filter((sign) => !complaints.includes(sign)), ...(html ? [] : ["HTML made from text"])];
      },
      [],
      `${name}: signs that were missed`,
    );
    assert.equal((await foreign(wall)).length, 1);
  }
});

for (const name of BROWSERS) {
  test(`${name}: hostile posts over the API are text`, async (t) => {
    const server = await Server.start(t);
    const { wall, witness } = await watched(t, name, server);
    /** @type {string[]} */
    const expected = [];
    for (const text of TEXTS.slice(0, -1)) {
      await server.publish("walls/lobby", text);
      await server.publish("walls/lobby", JSON.stringify({ from: text, msg: text, location: text }));
      await server.publish("walls/lobby", JSON.stringify({ from: text, through: text, msg: text }), "forward");
      await server.publish("walls/lobby", JSON.stringify({ from: text, place: text }), "checkin");
      expected.push(text, text, text, text);
    }
    await wall.untilTexts(expected);
    for (const [i, post] of (await wall.posts()).entries()) {
      const text = expected[i] ?? "";
      if (i % 4 > 0) assert.equal(post.author, text);
      if (i % 4 === 1) assert.equal(post.location, text);
      if (i % 4 === 2) assert.equal(post.through, text);
      assert.ok(post.api && !post.mine);
    }
    await assertUnharmed(wall, witness, server);
    await wall.page.reload();
    // The page begins with the newest fifty.
    await wall.untilTexts(expected.slice(-50));
    await assertUnharmed(wall, witness, server);
  });

  test(`${name}: posts that pretend to be what they are not show as what they are`, async (t) => {
    const server = await Server.start(t);
    const { wall, witness } = await watched(t, name, server);
    const visitor = await wall.page.$eval('meta[name="eventwall:visitor"]', (meta) => meta.getAttribute("content"));
    const extra = { by: visitor, id: "1-1", kind: "direct", mine: true, trusted: false, html: "<b>x</b>", time: "never" };
    const nul = "before\u0000after";
    /** @type {[string, string | undefined, string | null][]} data, event, what is shown */
    const cases = [
      [JSON.stringify({ from: "A", msg: "extra fields", ...extra }), undefined, "extra fields"],
      ['{"from":"A","msg":"proto","__proto__":{"place":"x"},"constructor":{"prototype":{"pwned":1}}}', undefined, "proto"],
      ['{"from":{"toString":1},"msg":[1]}', undefined, '{"from":{"toString":1},"msg":[1]}'],
      ['{"from":"A"}', undefined, '{"from":"A"}'],
      ['{"from":"A","msg":"no place"}', "checkin", '{"from":"A","msg":"no place"}'],
      ["[]", "forward", "[]"],
      ["null", "direct", "null"],
      ['{"from":"A","msg":', undefined, '{"from":"A","msg":'],
      [nul, undefined, nul],
      [JSON.stringify({ from: "A", msg: nul }), undefined, nul],
      ["one\r\ntwo\rthree", undefined, "one\ntwo\nthree"],
      ["nobody knows this kind", "constructor", null],
      ["nobody knows this kind", "<script>pwned = 1</script>", null],
      [JSON.stringify({ id: "9-9", event: "message", time: "x", data: "an event in an event" }), undefined,
        '{"id":"9-9","event":"message","time":"x","data":"an event in an event"}'],
      ["the end", undefined, "the end"],
    ];
    /** @type {string[]} */
    const ids = [];
    for (const [data, event, shown] of cases) {
      const id = await server.publish("walls/lobby", data, event);
      if (shown !== null) ids.push(id);
    }
    await wall.untilTexts(cases.map(([, , shown]) => shown).filter((shown) => shown !== null));
    assert.deepEqual(await wall.ids(), ids);
    for (const post of await wall.posts()) {
      assert.ok(post.api && !post.mine, "nobody passes for a visitor");
      assert.equal(post.place, null);
    }
    const [first] = await wall.posts();
    assert.equal(first?.kind, "status");
    await assertUnharmed(wall, witness, server);
  });

  test(`${name}: hostile words in the form are text, for who posts and who reads`, async (t) => {
    const server = await Server.start(t);
    const other = BROWSERS.find((one) => one !== name) ?? name;
    const [writer, reader] = await Promise.all([watched(t, name, server), watched(t, other, server)]);
    const line = '<img src=x onerror="pwned = 1">';
    const author = "</script><script>pwned=2</script>\u202E";
    for (const msg of TEXTS) await writer.wall.post({ msg, name: author, location: line });
    await writer.wall.post({ kind: "forward", through: line, msg: "forwarded" });
    await writer.wall.post({ kind: "checkin", place: line });
    for (const { wall, witness } of [writer, reader]) {
      await wall.untilTexts([...TEXTS, "forwarded", line]);
      const posts = await wall.posts();
      assert.ok(posts.every((post) => post.author === author && post.location === line && !post.api));
      assert.equal(posts.at(-2)?.through, line);
      await assertUnharmed(wall, witness, server);
    }
    // The name is in the page that the server fills.
    await writer.wall.page.reload();
    await writer.wall.untilTexts([...TEXTS, "forwarded", line]);
    assert.equal(await writer.wall.value("name"), author);
    await assertUnharmed(writer.wall, writer.witness, server);
  });

  test(`${name}: a wall may have a hostile name`, async (t) => {
    const server = await Server.start(t);
    const place = await mkdtemp(path.join(tmpdir(), "eventwall-curl-"));
    t.after(() => rm(place, { recursive: true, force: true }));
    const names = [
      `"><img src=x onerror="pwned=1">`,
      "'\"&amp;<title>{{visitor}}",
      "x'; touch pwned; echo $(touch pwned) `touch pwned` #",
      "a b?c#d%2e+e\\~!*",
      "\u202Eemanw\u202C 壁",
      "w".repeat(900),
    ];
    for (const wallName of names) {
      const { wall, witness } = await watched(t, name, server, wallName);
      assert.equal(await wall.text("h1"), wallName);
      assert.equal(await wall.page.title(), `${wallName} · Eventwall`);
      await run("sh", ["-c", (await wall.text("#curl-line")) ?? ""], { timeout: 10_000, cwd: place });
      await wall.post({ msg: "by hand" });
      await wall.untilTexts(["hello", "by hand"]);
      assert.equal((await server.logged(`walls/${wallName}`)).length, 2);
      const twin = await wall.page.$eval("#second-tab", (link) => /** @type {HTMLAnchorElement} */ (link).href);
      assert.equal(twin, wall.page.url());
      await assertUnharmed(wall, witness, server);
      await wall.page.close();
    }
    assert.deepEqual(await readdir(place), [], "the command line ran nothing but curl");
    for (const bad of ["a/../b", "<script>/x", "*", "\u0007", "w".repeat(1100)]) {
      const answer = await fetch(`${server.origin}/walls/${encodeURIComponent(bad)}`);
      assert.equal(answer.status, 400);
      assert.doesNotMatch(answer.headers.get("content-type") ?? "", /html/);
    }
  });
}
