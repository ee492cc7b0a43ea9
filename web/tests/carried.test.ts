import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect, losses } from "../src/carried.js";

function bytes(...parts: (string | number[])[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => (typeof part === "string" ? [...part].map((letter) => letter.charCodeAt(0)) : part)));
}

function chunk(name: string, data: number[]): (string | number[])[] {
  return [[0, 0, 0, data.length], name, data, [0, 0, 0, 0]];
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10];
const size = [0, 0, 0, 9, 0, 0, 0, 9];

test("a PNG of 16 bits with a profile and EXIF says so", () => {
  const file = bytes(SIGNATURE, ...chunk("IHDR", [...size, 16, 4, 0, 0, 0]), ...chunk("iCCP", [65, 0]), ...chunk("eXIf", [1]));
  const found = inspect(file);
  assert.deepEqual([found.kind, found.bits, found.gray, found.profile, found.exif], ["png", 16, true, true, true]);
  assert.deepEqual(
    losses(found).map((sentence) => /16 bits|ICC|EXIF/.exec(sentence)?.[0]),
    ["16 bits", "ICC", "EXIF"],
  );
});

test("a PNG of 1 bit loses nothing", () => {
  const found = inspect(bytes(SIGNATURE, ...chunk("IHDR", [...size, 1, 3, 0, 0, 0])));
  assert.equal(found.bits, 8);
  assert.deepEqual(losses(found), []);
});

test("a JPEG's segments are read up to its picture", () => {
  const segment = (marker: number, ...data: (string | number[])[]): (string | number[])[] => {
    const length = bytes(...data).length + 2;
    return [[0xff, marker, length >> 8, length & 255], ...data];
  };
  const head = [...segment(0xe1, "Exif", [0, 0, 1]), ...segment(0xe2, "ICC_PROFILE", [0, 1, 1])];
  const frame = segment(0xc2, [12, 0, 9, 0, 9, 1, 1, 0x11, 0]);
  const found = inspect(bytes([0xff, 0xd8], ...head, ...frame, [0xff, 0xda, 0, 2]));
  assert.deepEqual([found.kind, found.bits, found.gray, found.profile, found.exif], ["jpeg", 12, true, true, true]);
  const late = inspect(bytes([0xff, 0xd8], ...frame, [0xff, 0xda, 0, 2], ...head));
  assert.deepEqual([late.profile, late.exif], [false, false]);
});

test("a WebP's flags and an AVIF's depth are read", () => {
  const webp = inspect(bytes("RIFF", [0, 0, 0, 0], "WEBPVP8X", [10, 0, 0, 0, 0x2a, 0, 0, 0]));
  assert.deepEqual([webp.kind, webp.profile, webp.exif, webp.animated], ["webp", true, true, true]);
  const avif = inspect(bytes([0, 0, 0, 24], "ftypavif", [0, 0, 0, 0], "....av1C", [0x81, 0x20, 0x60, 0]));
  assert.deepEqual([avif.kind, avif.bits], ["avif", 12]);
});

test("what ends early or is no picture carries nothing", () => {
  for (const file of [bytes(), bytes([0xff, 0xd8, 0xff]), bytes([0xff, 0xd8, 0xff, 0xe1, 0, 0, 0]), bytes(SIGNATURE, [0, 0]), bytes("hello")]) {
    assert.deepEqual(losses(inspect(file)), []);
  }
});
