import assert from "node:assert/strict";
import { test } from "node:test";
import { axisGrid } from "../src/grid.js";
import { spans } from "../src/tiling.js";
import { floatsOf, golden } from "./synthetic.js";

type Four = [number, number, number, number];

test("spans are those of Python", async () => {
  for (const { of, spans: wanted } of await golden<{ of: Four; spans: Four[] | null }>("spans")) {
    if (!wanted) {
      assert.throws(() => spans(...of), /leave no room between margins/);
      continue;
    }
    const found = spans(...of).map((span) => [span.start, span.stop, span.coreStart, span.coreStop]);
    assert.deepEqual(found, wanted, `spans(${of})`);
  }
});

test("the matrices of ESA are those of Python, bit for bit", async () => {
  type Row = { of: [number, number, number]; interpolate: string; pad: string };
  for (const row of await golden<Row>("grids")) {
    const found = axisGrid(...row.of);
    assert.deepEqual(found.interpolate, floatsOf(row.interpolate), `interpolate of ${row.of}`);
    assert.deepEqual(found.pad, floatsOf(row.pad), `pad of ${row.of}`);
  }
});
