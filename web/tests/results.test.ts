import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { networkOf } from "../src/engine.js";
import { findModel } from "../src/models.js";
import { ArrayPicture } from "../src/picture.js";
import { toPng } from "../src/png.js";
import { enlarge, type Making } from "../src/upscaler.js";
import { bytesOf, golden, picture } from "./synthetic.js";
import { fromPng } from "./unpng.js";

interface Row {
  model: string;
  width: number;
  height: number;
  kind: string;
  tile: number;
  channels: number;
  pixels: string;
}

const EVERY = 5;
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

async function making(row: Row, shares: number[] = []): Promise<Making> {
  const [, family, scale] = /^(.*)-x(\d)$/.exec(row.model)!;
  const model = findModel(family, Number(scale));
  const bytes = await readFile(`../src/rlfn/models/weights/${model.file}`);
  const network = await networkOf(ort, bytes, model, "wasm", 1);
  const read = new ArrayPicture(row.width, row.height, picture(row.width, row.height, row.kind));
  return enlarge({ network, picture: read, tile: row.tile, gray: row.kind === "gray", onProgress: (share) => shares.push(share) });
}

for (const row of await golden<Row>("results")) {
  test(`${row.model} makes of a picture (${row.kind}, ${row.width}x${row.height}) what Python does, within 1 level`, async () => {
    const shares: number[] = [];
    const result = await making(row, shares);
    assert.equal(result.channels, row.channels);
    const png = fromPng(Buffer.from(await (await toPng(result)).arrayBuffer()));
    assert.deepEqual([png.width, png.height, png.channels], [result.width, result.height, row.channels]);
    const wanted = bytesOf(row.pixels);
    let place = 0;
    let most = 0;
    for (let y = 0; y < png.height; y += EVERY) {
      for (let x = 0; x < png.width; x += EVERY) {
        for (let channel = 0; channel < row.channels; channel++) {
          const found = png.pixels[(y * png.width + x) * row.channels + channel];
          most = Math.max(most, Math.abs(found - wanted[place++]));
        }
      }
    }
    assert.equal(place, wanted.length);
    assert.ok(most <= 1, `differs by ${most} levels`);
    assert.ok(shares.length && Math.abs(shares[shares.length - 1] - 1) < 1e-9, "progress ends at 1");
    assert.deepEqual(shares, [...shares].sort((one, other) => one - other), "progress only grows");
  });
}
