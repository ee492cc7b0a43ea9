/** A PNG that is written row by row, so that a result never lies in memory whole. */

import type { Band, Making } from "./upscaler.js";

const COLOUR_TYPES: Record<number, number> = { 1: 0, 2: 4, 3: 2, 4: 6 };
const PAETH = 4;
const UP = 2;

const CRC = Uint32Array.from({ length: 256 }, (_, number) => {
  for (let bit = 0; bit < 8; bit++) number = number & 1 ? (number >>> 1) ^ 0xedb88320 : number >>> 1;
  return number;
});

/** Read a result to its end and return it as a PNG file of 8 bits a channel. */
export async function toPng(making: Making): Promise<Blob> {
  const { width, height, channels } = making;
  const parts: BlobPart[] = [new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), ...header(making)];
  const squeezed = new CompressionStream("deflate");
  const collected = (async () => {
    const reader = squeezed.readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      parts.push(...chunk("IDAT", value as Uint8Array<ArrayBuffer>));
    }
  })();
  const writer = squeezed.writable.getWriter();
  let above: Uint8Array = new Uint8Array(width * channels);
  try {
    for await (const band of making.bands) {
      const lines = filtered(band, width * channels, channels, above);
      above = band.pixels.slice(-width * channels);
      await writer.ready;
      await writer.write(lines);
    }
    await writer.close();
  } catch (error) {
    writer.abort(error).catch(() => undefined);
    collected.catch(() => undefined);
    throw error;
  }
  await collected;
  parts.push(...chunk("IEND", new Uint8Array(0)));
  if (!height) throw new Error("a picture has rows");
  return new Blob(parts, { type: "image/png" });
}

function header({ width, height, channels }: Making): Uint8Array<ArrayBuffer>[] {
  const data = new DataView(new ArrayBuffer(13));
  data.setUint32(0, width);
  data.setUint32(4, height);
  data.setUint8(8, 8);
  data.setUint8(9, COLOUR_TYPES[channels]);
  // the browser gave the pixels in sRGB, and the file says so
  return [...chunk("IHDR", new Uint8Array(data.buffer)), ...chunk("sRGB", new Uint8Array([0]))];
}

function chunk(name: string, data: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, data.length);
  for (let place = 0; place < 4; place++) head[4 + place] = name.charCodeAt(place);
  let crc = 0xffffffff;
  for (const bytes of [head.subarray(4), data]) {
    for (let place = 0; place < bytes.length; place++) crc = CRC[(crc ^ bytes[place]) & 255] ^ (crc >>> 8);
  }
  const tail = new Uint8Array(4);
  new DataView(tail.buffer).setUint32(0, ~crc >>> 0);
  return [head, data, tail];
}

/** Put the filter before each line: Paeth for colours, the line above for one channel. */
function filtered(band: Band, line: number, channels: number, above: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(band.rows * (line + 1));
  for (let row = 0; row < band.rows; row++) {
    const here = band.pixels.subarray(row * line, (row + 1) * line);
    const to = row * (line + 1);
    if (channels < 3) {
      out[to] = UP;
      for (let place = 0; place < line; place++) out[to + 1 + place] = here[place] - above[place];
    } else {
      out[to] = PAETH;
      for (let place = 0; place < line; place++) {
        const left = place < channels ? 0 : here[place - channels];
        const corner = place < channels ? 0 : above[place - channels];
        out[to + 1 + place] = here[place] - paeth(left, above[place], corner);
      }
    }
    above = here;
  }
  return out;
}

function paeth(left: number, above: number, corner: number): number {
  const guess = left + above - corner;
  const byLeft = Math.abs(guess - left);
  const byAbove = Math.abs(guess - above);
  const byCorner = Math.abs(guess - corner);
  if (byLeft <= byAbove && byLeft <= byCorner) return left;
  return byAbove <= byCorner ? above : corner;
}
