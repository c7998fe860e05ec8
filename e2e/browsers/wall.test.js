// @ts-check
// Owns what visitors do with the wall: posting, reading along, coming back; in both browsers.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, test } from "node:test";
import { promisify } from "node:util";

import { BROWSERS, Browsers } from "./support/browser.js";
import { Server } from "../support/server.js";
import { until, untilEqual, within } from "../support/until.js";
import { WallPage } from "./support/wall.js";

const browsers = new Browsers(after);
const run = promisify(execFile);

test("two browsers at one wall see each other's posts of all kinds, in one order, once each", async (t) => {
  const server = await Server.start(t);
  const [left, right] = await Promise.all([
    browsers.page(t, "chromium").then((page) => WallPage.open(page, server)),
    browsers.page(t, "firefox").then((page) => WallPage.open(page, server)),
  ]);
  await left.post({ name: "Row 2", msg: "hello\nin two lines", location: "Hall 2" });
  await right.untilTexts(["hello\nin two lines"]);
  await right.post({ kind: "checkin", name: "Ben 🦊", place: "Café on the corner" });
  await left.untilTexts(["hello\nin two lines", "Café on the corner"]);
  await left.post({ kind: "forward", through: "the desk", msg: "ライブ" });
  await right.post({ kind: "status", msg: "last", location: "Roof" });

  const common = { place: null, through: null, location: null, api: false };
  const expected = [
    { ...common, kind: "status", author: "Row 2", text: "hello\nin two lines", location: "Hall 2", mine: true },
    { ...common, kind: "checkin", author: "Ben 🦊", text: null, place: "Café on the corner", mine: false },
    { ...common, kind: "forward", author: "Row 2", text: "ライブ", through: "the desk", location: "Hall 2", mine: true },
    { ...common, kind: "status", author: "Ben 🦊", text: "last", location: "Roof", mine: false },
  ];
  const ids = (await server.logged("walls/lobby")).map(({ id }) => id);
  const withIds = expected.map((post, i) => ({ ...post, id: ids[i] ?? "" }));
  await untilEqual(() => left.posts(), withIds);
  await untilEqual(() => right.posts(), withIds.map((post) => ({ ...post, mine: !post.mine })));

  await Promise.all([left, right].map(({ page }) => page.reload()));
  await untilEqual(() => left.posts(), withIds);
  await untilEqual(() => right.posts(), withIds.map((post) => ({ ...post, mine: !post.mine })));
});

test("posts at the same time from both browsers stand in one order", async (t) => {
  const server = await Server.start(t);
  const walls = await Promise.all(BROWSERS.map(async (name) => WallPage.open(await browsers.page(t, name), server)));
  const rounds = 8;
  await Promise.all(
    walls.map(async (wall, side) => {
      for (let i = 0; i < rounds; i += 1) {
        const msg = `${side} says ${i}`;
        await wall.submit({ msg });
        await until(`${msg} on the wall`, async () => (await wall.texts()).includes(msg));
      }
    }),
  );
  const ids = (await server.logged("walls/lobby")).map(({ id }) => id);
  assert.equal(ids.length, 2 * rounds);
  for (const wall of walls) await untilEqual(() => wall.ids(), ids);
});

for (const name of BROWSERS) {
  test(`${name}: a wall has its own posts, and other programs' posts show as theirs`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server, "garden");
    await server.publish("walls/lobby", "not here");
    await server.publish("walls/garden", '{"from":"Robot","msg":"beep"}');
    await server.publish("walls/garden", '{"from":"Robot","msg":"for you"}', "direct");
    await server.publish("walls/garden", "plain words");
    await wall.untilTexts(["beep", "for you", "plain words"]);
    const posts = await wall.posts();
    assert.deepEqual(posts.map(({ author }) => author), ["Robot", "Robot", null]);
    assert.deepEqual(posts.map(({ kind }) => kind), ["status", "direct", "status"]);
    assert.ok(posts.every(({ api, mine }) => api && !mine));
    assert.equal(await wall.text("h1"), "garden");
  });

  test(`${name}: a visitor keeps name and posts over a reload`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    const guest = await wall.value("name");
    assert.match(guest, /^Guest \d{4}$/);
    await wall.post({ msg: "as a guest" });
    await wall.post({ msg: "as myself", name: "Žofie O'Neil" });
    await server.kill("SIGTERM");
    await server.restart();
    await wall.page.reload();
    await wall.untilState("live");
    assert.equal(await wall.value("name"), "Žofie O'Neil");
    await wall.post({ msg: "again" });
    await wall.untilTexts(["as a guest", "as myself", "again"]);
    const posts = await wall.posts();
    assert.deepEqual(posts.map(({ author }) => author), [guest, "Žofie O'Neil", "Žofie O'Neil"]);
    assert.ok(posts.every(({ mine }) => mine), "all are still the visitor's own");
  });

  test(`${name}: what cannot be posted is said at its field, and nothing is posted`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    /** @type {[import("./support/wall.js").Draft, import("./support/wall.js").FieldName, RegExp][]} */
    const bad = [
      [{ msg: "" }, "msg", /message/i],
      [{ msg: " \n\t " }, "msg", /message/i],
      [{ msg: "x".repeat(2001) }, "msg", /too long by 1\b.*2000/i],
      [{ msg: "😀".repeat(2001) }, "msg", /too long by 1\b.*2000/i],
      [{ msg: "fine", name: "" }, "name", /name/i],
      [{ msg: "fine", name: "n".repeat(41) }, "name", /too long by 1\b.*40/i],
      [{ msg: "fine", name: "Row 2", location: "l".repeat(201) }, "location", /too long by 1\b/i],
      [{ kind: "checkin", place: "", location: "" }, "place", /where/i],
      [{ kind: "forward", through: "", msg: "fine" }, "through", /whom/i],
      // Only the server knows that this one is bad.
      [{ kind: "checkin", place: "bell\u0007", location: "" }, "place", /control character/i],
    ];
    for (const [draft, field, message] of bad) {
      await wall.submit(draft);
      await wall.untilVisible(`#${field}-error`);
      await until(`a complaint about ${field}`, async () => message.test((await wall.text(`#${field}-error`)) ?? ""));
      assert.equal(await wall.focused(), field, "the field to mend has the focus");
      const invalid = await wall.page.$$eval("[aria-invalid=true]", (fields) => fields.map(({ id }) => id));
      assert.deepEqual(invalid, [field]);
      assert.equal(await wall.value(field), draft[field], "what was written is kept");
    }
    // The server would have said so before it took this one.
    await wall.post({ kind: "status", msg: "😀".repeat(2000), name: "n".repeat(40) });
    await wall.untilTexts(["😀".repeat(2000)]);
    assert.equal((await server.logged("walls/lobby")).length, 1);
    assert.equal(await wall.value("msg"), "", "what was sent is gone from the form");
  });

  test(`${name}: the keyboard is enough`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    const { keyboard } = wall.page;
    /** @param {() => Promise<boolean>} there */
    const tabUntil = async (there) => {
      for (let steps = 0; !(await there()); steps += 1) {
        assert.ok(steps < 30, "Tab gets there");
        await keyboard.press("Tab");
      }
    };
    /** @param {string} id */
    const tabTo = (id) => tabUntil(async () => (await wall.focused()) === id);
    const onKinds = () => wall.page.evaluate(() => document.activeElement?.getAttribute("name") === "kind");

    await tabTo("msg");
    await keyboard.type("typed");
    await keyboard.down("Control");
    await keyboard.press("Enter");
    await keyboard.up("Control");
    await wall.untilTexts(["typed"]);
    assert.equal(await wall.focused(), "msg", "ready for the next post");

    await keyboard.down("Shift");
    await tabUntil(onKinds);
    await keyboard.up("Shift");
    await keyboard.press("ArrowRight");
    await wall.untilVisible("#place");
    await tabTo("place");
    await keyboard.type("At the keys");
    await keyboard.press("Enter");
    await wall.untilTexts(["typed", "At the keys"]);

    await tabTo("send");
    await keyboard.down("Shift");
    await tabUntil(onKinds);
    await keyboard.up("Shift");
    await keyboard.press("ArrowRight");
    await tabTo("through");
    await keyboard.type("a friend");
    await tabTo("msg");
    await keyboard.type("passed on");
    await tabTo("send");
    await keyboard.press(" ");
    await wall.untilTexts(["typed", "At the keys", "passed on"]);

    // Posts are reached by Tab, and gone through by PageDown and PageUp.
    const ids = await wall.ids();
    const focusedPost = () => wall.page.evaluate(() => document.activeElement?.getAttribute("data-id") ?? "");
    await tabUntil(async () => (await focusedPost()) !== "");
    assert.equal(await focusedPost(), ids[2]);
    await keyboard.press("PageDown");
    assert.equal(await focusedPost(), ids[1]);
    await keyboard.press("PageUp");
    assert.equal(await focusedPost(), ids[2]);
  });

  test(`${name}: an empty wall says how to fill it, and its command line does`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server, "new $(wall)");
    await wall.untilVisible("#empty");
    const line = (await wall.text("#curl-line")) ?? "";
    assert.match(line, /^curl /);

    await wall.page.click("#copy-curl");
    await untilEqual(() => wall.text("#empty-note"), "Copied.");
    await wall.page.focus("#msg");
    await wall.page.keyboard.down("Control");
    await wall.page.keyboard.press("v");
    await wall.page.keyboard.up("Control");
    await untilEqual(() => wall.value("msg"), line, "what was copied is the line");

    await run("sh", ["-c", line], { timeout: 10_000 });
    await wall.untilTexts(["hello"]);
    await wall.untilHidden("#empty");
  });

  test(`${name}: a second tab shows the same wall`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    const wall = await WallPage.open(page, server, "garden");
    await wall.untilVisible("#second-tab");
    const opened = new Promise((resolve) => page.browserContext().once("targetcreated", resolve));
    await wall.page.click("#second-tab");
    await within("a second tab", opened);
    const others = async () => (await page.browserContext().pages()).filter((other) => other !== page);
    const second = await until("a second page", async () => (await others())[0]);
    await untilEqual(() => second.url(), page.url());
    const twin = new WallPage(second);
    await until("the page of the second tab", () => second.$("#connection"));
    await twin.untilState("live");
    await twin.post({ msg: "from the second" });
    await wall.untilTexts(["from the second"]);
    assert.ok((await wall.posts())[0]?.mine, "both tabs are the same visitor");
  });

  test(`${name}: sample posts fill an empty wall`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    await wall.untilVisible("#play-samples");
    await wall.page.click("#play-samples");
    await until("two sample posts", async () => (await wall.posts()).length >= 2);
    await wall.untilHidden("#empty");
    assert.ok((await wall.posts()).every(({ api, author }) => api && author));
  });

  test(`${name}: who reads further down is not moved, and told of new posts`, async (t) => {
    const server = await Server.start(t);
    for (let i = 0; i < 40; i += 1) await server.publish("walls/lobby", `old ${i}`);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    await until("the old posts", async () => (await wall.posts()).length === 40);
    await wall.page.evaluate(() => scrollTo(0, 900));
    const place = () =>
      wall.page.evaluate(() => [scrollY, ...[...document.querySelectorAll(".post")].slice(10, 12).map((post) => post.getBoundingClientRect().top)]);
    await until("the page to be scrolled", async () => (await place())[0] === 900);
    const before = await place();
    await server.publish("walls/lobby", "new 1");
    await untilEqual(() => wall.text("#new-posts"), "1 new post");
    await server.publish("walls/lobby", "new 2");
    await untilEqual(() => wall.text("#new-posts"), "2 new posts");
    assert.ok(await wall.visible("#new-posts"));
    assert.deepEqual(await place(), before, "nothing moved");
    assert.equal((await wall.posts()).length, 40);
    await wall.page.click("#new-posts");
    await untilEqual(async () => (await wall.texts()).slice(-3), ["old 39", "new 1", "new 2"]);
    await untilEqual(() => wall.page.evaluate(() => scrollY), 0);
    assert.ok(!(await wall.visible("#new-posts")));
    const focused = await wall.page.evaluate(() => document.activeElement?.getAttribute("data-id"));
    assert.equal(focused, (await wall.ids()).at(-1), "the newest has the focus");
  });

  test(`${name}: older posts come page by page, to the very first`, async (t) => {
    const server = await Server.start(t);
    const all = Array.from({ length: 130 }, (_, i) => `post ${i}`);
    for (const text of all) await server.publish("walls/lobby", text);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    await wall.untilTexts(all.slice(-50));
    await wall.untilVisible("#older");
    // Who scrolls there need not press it.
    /** @param {number} count */
    const scrollUntil = (count) =>
      until(`${count} posts`, async () => {
        await wall.page.evaluate(() => scrollTo(0, document.body.scrollHeight));
        return (await wall.posts()).length >= count;
      });
    await scrollUntil(100);
    // A post that comes meanwhile goes where it belongs.
    await server.publish("walls/lobby", "post 130");
    await until("the new post", () => wall.visible("#new-posts"));
    await scrollUntil(130);
    await untilEqual(async () => (await wall.texts()).slice(0, 130), all);
    await wall.untilHidden("#older");
    await wall.page.evaluate(() => scrollTo(0, 0));
    await wall.untilTexts([...all, "post 130"]);
    assert.deepEqual(await wall.ids(), (await server.logged("walls/lobby")).map(({ id }) => id));
  });

  test(`${name}: the page says whether it is live`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    assert.equal(await wall.text("#connection-word"), "live");
    await server.kill("SIGKILL");
    await wall.untilState("reconnecting");
    assert.match((await wall.text("#connection-word")) ?? "", /reconnecting/);
    await wall.submit({ msg: "first" });
    await wall.submit({ msg: "second" });
    await untilEqual(() => wall.pending(), ["waiting first", "waiting second"]);
    await wall.fill("msg", "not done yet");
    // Nor does a reload lose any of it; the page itself cannot be had without its server.
    await server.restart();
    await wall.page.reload();
    await wall.untilState("live");
    await wall.untilTexts(["first", "second"]);
    await untilEqual(() => wall.pending(), []);
    assert.equal(await wall.value("msg"), "not done yet");
    assert.equal((await server.logged("walls/lobby")).length, 2, "each is sent once");
  });

  test(`${name}: a post whose answer was lost is sent again, and is there once`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    const wall = await WallPage.open(page, server);
    await page.evaluate(() => {
      const { fetch } = window;
      let lost = 0;
      window.fetch = async (...request) => {
        const answer = await fetch(...request);
        if (!String(request[0]).endsWith("/posts") || (lost += 1) > 1) return answer;
        throw new TypeError("the answer is lost");
      };
    });
    await wall.submit({ msg: "once" });
    await wall.untilTexts(["once"]);
    await untilEqual(() => wall.text("#composer-note"), "Posted.");
    await untilEqual(() => wall.pending(), []);
    assert.equal((await server.logged("walls/lobby")).length, 1);
  });

  test(`${name}: a refused post waits to be mended, if something else is being written`, async (t) => {
    const server = await Server.start(t);
    const wall = await WallPage.open(await browsers.page(t, name), server);
    // Half of a character: only the server knows that it is none.
    const odd = "bell \ud83d";
    await server.kill();
    await wall.submit({ kind: "checkin", place: odd });
    await until("it to wait", async () => (await wall.pending())[0]?.startsWith("waiting"));
    await wall.fill("place", "elsewhere");
    await server.restart();
    await until("it to be refused", async () => (await wall.pending())[0]?.startsWith("failed"));
    assert.match((await wall.text(".pending-words")) ?? "", /the body is no post/);
    await wall.page.click(".pending-state .edit");
    assert.equal(await wall.value("place"), "elsewhere", "what is being written is not lost for it");
    await wall.fill("place", "");
    await wall.page.click(".pending-state .edit");
    await untilEqual(() => wall.pending(), []);
    await wall.fill("place", "bell tower");
    await wall.page.click("#send");
    await wall.untilTexts(["bell tower"]);
    await untilEqual(() => wall.pending(), []);
  });

  test(`${name}: an author changes a post, and takes it back, for everybody`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    const wall = await WallPage.open(page, server);
    const other = await WallPage.open(await browsers.page(t, name), server);
    await wall.post({ msg: "frist `post`" });
    await other.post({ msg: "second" });
    await wall.untilTexts(["frist post", "second"]);
    assert.equal(await other.page.$(".post:not([hidden]) .post-tools[hidden] ~ *"), null);
    assert.equal((await other.page.$$("#posts .post-tools")).length, 1, "only of its own");
    await page.click("#posts .post-tools .edit");
    assert.equal(await wall.value("msg"), "frist `post`");
    await wall.fill("msg", "first `post`");
    await page.click("#send");
    await untilEqual(() => wall.text("#composer-note"), "Saved.");
    for (const each of [wall, other]) await each.untilTexts(["first post", "second"]);
    assert.equal((await other.page.$$("#posts .edited")).length, 1);
    await other.page.reload();
    await other.untilTexts(["first post", "second"]);
    assert.equal((await other.page.$$("#posts .edited")).length, 1, "as the server tells it, too");
    page.on("dialog", (dialog) => void dialog.accept());
    await page.click("#posts .post-tools .remove");
    for (const each of [wall, other]) await each.untilTexts(["second"]);
    await other.page.reload();
    await other.untilTexts(["second"]);
    const raw = await (await fetch(`${server.origin}/topics/walls/lobby?last=50`, { headers: { Accept: "application/json" } })).text();
    assert.ok(!raw.includes("frist"), "it left the log");
    const id = await server.publish("walls/lobby", "rude");
    for (const each of [wall, other]) await each.untilTexts(["second", "rude"]);
    // So is what whoever runs the server erases.
    assert.equal((await fetch(`${server.origin}/events/${id}`, { method: "DELETE" })).status, 204);
    for (const each of [wall, other]) await each.untilTexts(["second"]);
  });

  test(`${name}: twelve tabs have one connection, and each shows the wall`, async (t) => {
    const server = await Server.start(t);
    const first = await WallPage.open(await browsers.page(t, name), server);
    const walls = [first];
    while (walls.length < 12) walls.push(await WallPage.open(await first.page.browserContext().newPage(), server));
    await untilEqual(() => server.subscribers(), 1, "streams at the server");
    const [, second] = walls;
    assert.ok(second);
    // Only a tab that is seen can be clicked.
    await second.page.bringToFront();
    await second.post({ msg: "to all of you" });
    for (const wall of walls) await wall.untilTexts(["to all of you"]);
    await server.kill();
    for (const wall of walls) await wall.untilState("reconnecting");
    await server.restart();
    await server.publish("walls/lobby", "again");
    for (const wall of walls) await wall.untilTexts(["to all of you", "again"]);
  });

  test(`${name}: without the hub's client, the wall follows with the browser's own`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    await page.setRequestInterception(true);
    page.on("request", (request) => void (request.url().endsWith("/eventwall.js") ? request.abort() : request.continue()));
    const wall = await WallPage.open(page, server);
    await wall.post({ msg: "the old way" });
    await wall.untilTexts(["the old way"]);
    await server.kill();
    await wall.untilState("reconnecting");
    await server.restart();
    await server.publish("walls/lobby", "again");
    await wall.untilTexts(["the old way", "again"]);
  });
}

for (const name of BROWSERS) {
  test(`${name}: where only some is public, a wall offers what everyone may do`, async (t) => {
    const server = await Server.start(t, ["--public-walls", "lobby", "--public-read", "walls/news"]);
    const page = await browsers.page(t, name);
    const lobby = await WallPage.open(page, server);
    const visible = (/** @type {string} */ selector) =>
      page.$eval(selector, (element) => element.checkVisibility());
    await until("the empty wall to say so", () => visible("#empty"));
    // Neither a command that would be refused, nor sample posts.
    for (const id of ["#curl", "#how-to-publish", "#play-samples"]) assert.equal(await visible(id), false, id);
    assert.equal(await visible("#how-to-post"), true);
    await lobby.post({ msg: "from a visitor" });
    await lobby.untilTexts(["from a visitor"]);
    await WallPage.open(page, server, "news");
    await until("the empty wall to say so", () => visible("#waiting"));
    for (const id of ["#compose", "#how-to-post", "#curl"]) assert.equal(await visible(id), false, id);
    const refused = await page.goto(`${server.origin}/walls/other`);
    assert.equal(refused?.status(), 403);
    assert.match(await page.$eval("details p", (element) => element.textContent ?? ""), /walls\/other may not be read/);
  });
}
