import assert from "node:assert/strict";
import { test } from "node:test";
import { carriedBy, inspect, losses } from "../src/carried.js";

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

/** EXIF data with two entries, the second one the orientation. */
function exif(order: "II" | "MM", orientation: number): number[] {
  const whole = (value: number, size: number): number[] => {
    const big = Array.from({ length: size }, (_, place) => (value >> (8 * (size - 1 - place))) & 255);
    return order === "MM" ? big : big.reverse();
  };
  const entry = (tag: number, value: number): number[] => [...whole(tag, 2), ...whole(3, 2), ...whole(1, 4), ...whole(value, 2), 0, 0];
  const head = [...bytes(order), ...whole(42, 2), ...whole(8, 4)];
  return [...head, ...whole(2, 2), ...entry(0x0103, 6), ...entry(0x0112, orientation), ...whole(0, 4)];
}

function jpegWith(data: number[]): Uint8Array {
  const length = data.length + 8;
  return bytes([0xff, 0xd8, 0xff, 0xe1, length >> 8, length & 255], "Exif", [0, 0], data, [0xff, 0xda, 0, 2, 0, 0]);
}

function pngWith(data: number[]): Uint8Array {
  return bytes(SIGNATURE, ...chunk("IHDR", [...size, 8, 2, 0, 0, 0]), ...chunk("IDAT", [1, 2]), ...chunk("eXIf", data));
}

function webpWith(data: number[], prefix: number[] = []): Uint8Array {
  const length = data.length + prefix.length;
  const vp8x = ["VP8X", [10, 0, 0, 0, 0x08, 0, 0, 0, 8, 0, 0, 8, 0, 0]];
  return bytes("RIFF", [0, 0, 0, 0], "WEBP", ...vp8x, "VP8L", [3, 0, 0, 0, 1, 2, 3, 0], "EXIF", [length, 0, 0, 0], prefix, data);
}

for (const order of ["II", "MM"] as const) {
  test(`the orientation is read from EXIF data in the order ${order}, and told where the picture is turned`, () => {
    for (const told of [0, 1, 2, 6, 8, 9]) {
      const data = exif(order, told);
      const wanted = told >= 2 && told <= 8 ? told : 1;
      for (const file of [jpegWith(data), pngWith(data), webpWith(data), webpWith(data, [...bytes("Exif"), 0, 0])]) {
        const found = inspect(file);
        assert.deepEqual([found.exif, found.orientation], [true, wanted], found.kind);
        assert.equal(losses(found).length, 1);
        assert.equal(losses(found)[0].includes("turned upright"), wanted > 1, found.kind);
        assert.equal(losses(found, false)[0].includes("not turned"), wanted > 1, found.kind);
      }
    }
  });
}

test("EXIF data that end early, or point nowhere, tell no orientation", () => {
  const whole = exif("MM", 6);
  for (let length = 0; length < 32; length++) {
    const found = inspect(jpegWith(whole.slice(0, length)));
    assert.deepEqual([found.kind, found.exif, found.orientation], ["jpeg", true, 1], `${length} bytes`);
  }
  assert.equal(inspect(jpegWith([...bytes("II"), 42, 0, 255, 255, 255, 255])).orientation, 1);
});

/** A GIF of some pictures, with a table of four colours for all and one for the first alone, and extensions between. */
function gif(pictures: number, ...extensions: (string | number[])[]): Uint8Array {
  const control = [0x21, 0xf9, 4, 0, 10, 0, 0, 0];
  const picture = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x2c, 0x51, 3, 0x2c, 1, 2, 0]; // image separators among its data
  const first = [...picture.slice(0, 9), 0x80, ...[0x2c, 0, 0, 0, 0x3b, 0], ...picture.slice(10)];
  const frames = Array.from({ length: pictures }, (_, place) => [...control, ...(place ? picture : first)]);
  return bytes("GIF89a", [1, 0, 1, 0, 0x81, 0, 0], Array(12).fill(0x2c), ...extensions, ...frames, [0x3b]);
}

test("a GIF is an animation if it has several pictures, whether or not it repeats", () => {
  const loop = [[0x21, 0xff, 11], "NETSCAPE2.0", [3, 1, 0, 0, 0]];
  assert.deepEqual(losses(inspect(gif(1))), []);
  assert.deepEqual(losses(inspect(gif(1, ...loop))), []);
  assert.match(losses(inspect(gif(2)))[0], /first picture of the animation/);
  assert.match(losses(inspect(gif(3, ...loop)))[0], /first picture of the animation/);
  assert.equal(inspect(gif(2).slice(0, 60)).kind, "gif");
});

test("a second picture and EXIF data are found after the first megabyte", async () => {
  const long = [[0x21, 0xfe], ...Array.from({ length: 4200 }, () => [255, ...Array<number>(255).fill(7)]), [0]];
  assert.equal((await carriedBy(new Blob([gif(2, ...long) as BlobPart]))).animated, true);
  const late = bytes(SIGNATURE, [0, 0x20, 0, 0], "IDAT", Array<number>((1 << 21) + 4).fill(0), ...chunk("eXIf", exif("II", 3)));
  assert.equal((await carriedBy(new Blob([late as BlobPart]))).orientation, 3);
});

test("what ends early or is no picture carries nothing", () => {
  for (const file of [bytes(), bytes([0xff, 0xd8, 0xff]), bytes([0xff, 0xd8, 0xff, 0xe1, 0, 0, 0]), bytes(SIGNATURE, [0, 0]), bytes("hello")]) {
    assert.deepEqual(losses(inspect(file)), []);
  }
});
