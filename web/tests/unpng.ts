/** A small reader of PNG files of 8 bits, after the specification, to check the writer with. */

import { inflateSync } from "node:zlib";
import { crc32 } from "./crc.js";

export interface Read {
  width: number;
  height: number;
  channels: number;
  pixels: Uint8Array;
}

export function fromPng(file: Buffer): Read {
  const data: Buffer[] = [];
  let head: Buffer = Buffer.alloc(0);
  for (let place = 8; place < file.length; ) {
    const length = file.readUInt32BE(place);
    const name = file.toString("latin1", place + 4, place + 8);
    const body = file.subarray(place + 8, place + 8 + length);
    if (file.readUInt32BE(place + 8 + length) !== crc32(file.subarray(place + 4, place + 8 + length))) throw new Error(`CRC of ${name}`);
    if (name === "IHDR") head = body;
    if (name === "IDAT") data.push(body);
    place += 12 + length;
  }
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  const channels = { 0: 1, 2: 3, 4: 2, 6: 4 }[head[9]]!;
  return { width, height, channels, pixels: unfiltered(inflateSync(Buffer.concat(data)), width * channels, height, channels) };
}

function unfiltered(raw: Buffer, line: number, height: number, channels: number): Uint8Array {
  const out = new Uint8Array(line * height);
  if (raw.length !== (line + 1) * height) throw new Error("the data's length is not the picture's");
  for (let y = 0; y < height; y++) {
    const kind = raw[y * (line + 1)];
    for (let x = 0; x < line; x++) {
      const a = x < channels ? 0 : out[y * line + x - channels];
      const b = y ? out[(y - 1) * line + x] : 0;
      const c = y && x >= channels ? out[(y - 1) * line + x - channels] : 0;
      const p = a + b - c;
      const [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
      const guess = [0, a, b, (a + b) >> 1, pa <= pb && pa <= pc ? a : pb <= pc ? b : c][kind];
      out[y * line + x] = raw[y * (line + 1) + 1 + x] + guess;
    }
  }
  return out;
}
