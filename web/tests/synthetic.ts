/** Synthetic pictures: the same bytes as `picture` in golden.py. */
export function picture(width: number, height: number, kind: string): Uint8Array {
  const bytes = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const c = kind === "gray" ? 0 : channel;
        let value = Math.floor(((3 * x + 2 * y + 60 * c) % 256) / 2);
        if ((Math.floor(x / 8) + Math.floor(y / 8)) % 5 === 0) value += 90;
        value += (7 * x * x + 13 * y * y + 5 * x * y + 31 * c) % 17;
        if (kind === "flat" && (y < 4 || x < 4)) value = 250 - c;
        bytes[(y * width + x) * 4 + channel] = Math.min(value, 255);
      }
      const away = (x - Math.floor(width / 2)) ** 2 + (y - Math.floor(height / 2)) ** 2;
      const alpha = kind === "alpha" ? Math.min(Math.max(300 - away, 0), 255) : kind === "veil" ? 100 : 255;
      bytes[(y * width + x) * 4 + 3] = alpha;
    }
  }
  return bytes;
}

/** Read a golden file, a list of rows. */
export async function golden<Row>(name: string): Promise<Row[]> {
  const { readFile } = await import("node:fs/promises");
  return JSON.parse(await readFile(`tests/golden/${name}.json`, "utf8")) as Row[];
}

/** The bytes that golden.py coded. */
export function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}

/** The float32 numbers that golden.py coded. */
export function floatsOf(text: string): Float32Array {
  return new Float32Array(bytesOf(text).buffer);
}
