import assert from "node:assert/strict";
import { test } from "node:test";
import { fillTransparent, limitAlpha } from "../src/alpha.js";
import { hasFlatBorder, source } from "../src/frame.js";
import { ArrayPicture } from "../src/picture.js";
import { bytesOf, golden, picture } from "./synthetic.js";

interface Row {
  width: number;
  height: number;
  kind: string;
  filled: string;
  limited: string;
  flat: boolean;
}

test("colours under transparent pixels are filled as in Python", async () => {
  for (const { width, height, kind, filled } of await golden<Row>("alpha")) {
    const bytes = picture(width, height, kind);
    fillTransparent(bytes, width, height);
    const wanted = bytesOf(filled);
    const found = wanted.map((_, place) => bytes[Math.floor(place / 3) * 4 + (place % 3)]);
    const most = Math.max(...found.map((value, place) => Math.abs(value - wanted[place])));
    assert.ok(most <= 1, `${kind} ${width}x${height} differs by ${most}`);
  }
});

test("alpha stays within its neighbours' range as in Python", async () => {
  for (const { width, height, kind, limited } of await golden<Row>("alpha")) {
    const bytes = picture(width, height, kind);
    const alpha = Uint8Array.from({ length: width * height }, (_, place) => bytes[place * 4 + 3]);
    const wide = Uint8Array.from({ length: width * height * 4 }, (_, place) => {
      const row = height - 1 - (Math.floor(place / (2 * width)) >> 1);
      return alpha[row * width + ((place % (2 * width)) >> 1)];
    });
    const half = Math.floor(height / 2);
    limitAlpha(wide.subarray(0, half * width * 4), alpha, width, 0, half, 2);
    limitAlpha(wide.subarray(half * width * 4), alpha, width, half, height, 2);
    assert.deepEqual(wide, bytesOf(limited), `${kind} ${width}x${height}`);
  }
});

test("flat borders are found as in Python", async () => {
  for (const { width, height, kind, flat } of await golden<Row>("alpha")) {
    const found = hasFlatBorder(new ArrayPicture(width, height, picture(width, height, kind)), [0, 1, 2]);
    assert.equal(found, flat, `${kind} ${width}x${height}`);
  }
});

test("a frame is a mirror image that repeats the border, and its edge goes on", () => {
  const places = (length: number, framed: number, more: number): number[] =>
    Array.from({ length: length + 2 * framed + more }, (_, place) => source(place, length, framed));
  assert.deepEqual(places(3, 0, 2), [0, 1, 2, 2, 2]);
  assert.deepEqual(places(3, 2, 1), [1, 0, 0, 1, 2, 2, 1, 1]);
  assert.deepEqual(places(2, 5, 0), [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]);
});
