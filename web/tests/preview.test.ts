import assert from "node:assert/strict";
import { test } from "node:test";
import { previewed } from "../src/preview.js";
import type { Band, Making } from "../src/upscaler.js";

// node has no ImageData
class Pixels {
  readonly data: Uint8ClampedArray;
  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.data = new Uint8ClampedArray(width * height * 4);
  }
}
Object.assign(globalThis, { ImageData: Pixels });

function making(width: number, channels: number, rows: number[]): Making {
  const height = rows.reduce((sum, each) => sum + each, 0);
  async function* bands(): AsyncGenerator<Band> {
    let top = 0;
    for (const each of rows) {
      const pixels = Uint8Array.from({ length: each * width * channels }, (_, place) => {
        const [x, y, channel] = [Math.floor(place / channels) % width, top + Math.floor(place / channels / width), place % channels];
        return 10 * x + y + 50 * channel;
      });
      yield { rows: each, pixels };
      top += each;
    }
  }
  return { width, height, channels, bands: bands() };
}

test("a large result leaves the means of its squares, whatever its bands", async () => {
  for (const rows of [[5], [1, 3, 1], [2, 2, 1]]) {
    const watched = previewed(making(5, 3, rows), 9);
    let read = 0;
    for await (const band of watched.making.bands) read += band.rows;
    const { width, height, data } = watched.preview()!;
    assert.deepEqual([read, width, height], [5, 3, 3]);
    assert.deepEqual([...data.slice(0, 4)], [6, 56, 106, 255], "the mean of x 0 to 1 and y 0 to 1, 5.5, to the even number");
    assert.deepEqual([...data.slice(-4)], [44, 94, 144, 255], "the last square is a single pixel");
  }
});

test("gray and alpha keep their places", async () => {
  const watched = previewed(making(4, 2, [4]), 4);
  for await (const band of watched.making.bands) assert.equal(band.rows, 4);
  assert.deepEqual([...watched.preview()!.data.slice(0, 4)], [6, 6, 6, 56]);
});

test("a small result leaves nothing", () => {
  const small = making(4, 3, [4]);
  const watched = previewed(small, 16);
  assert.equal(watched.making, small);
  assert.equal(watched.preview(), undefined);
});
