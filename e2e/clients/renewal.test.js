// @ts-check
// Owns when a page that lost its place on the wall is loaded anew.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Renewal } from "../../web/js/renewal.js";

class Hold extends EventTarget {
  on = false;

  end() {
    this.on = false;
    this.dispatchEvent(new Event("end"));
  }
}

test("a page that lost its place is loaded anew when it is live, and not while it is held", () => {
  const hold = new Hold();
  let loads = 0;
  const renewal = new Renewal(hold, () => (loads += 1));
  renewal.line(true);
  assert.equal(loads, 0, "nothing is lost");
  hold.on = true;
  renewal.ask();
  renewal.line(false);
  hold.end();
  assert.equal(loads, 0, "nobody could load it once more");
  renewal.line(true);
  assert.equal(loads, 1);
});

test("without a hold it is loaded at once", () => {
  let loads = 0;
  const renewal = new Renewal(new Hold(), () => (loads += 1));
  renewal.line(true);
  renewal.ask();
  assert.equal(loads, 1);
});
