/** Results through a canvas: pixels, JPEG and WebP. They lie in memory whole. */

import { UpscaleError } from "./errors.js";
import type { Making } from "./upscaler.js";

/** The largest side and area of a canvas that browsers on desks have. */
const MOST_SIDE = 16_384;
const MOST_PIXELS = 2 ** 28;

/** Read a result to its end as RGBA pixels, laid over white if it shall be opaque. */
export async function toPixels(making: Making, opaque = false): Promise<ImageData> {
  const { width, height, channels } = making;
  const image = new ImageData(width, height);
  const gray = channels < 3;
  let place = 0;
  for await (const { pixels } of making.bands) {
    for (let from = 0; from < pixels.length; from += channels, place += 4) {
      const alpha = channels % 2 ? 255 : pixels[from + channels - 1];
      for (let channel = 0; channel < 3; channel++) {
        const value = pixels[gray ? from : from + channel];
        image.data[place + channel] = opaque ? (value * alpha) / 255 + 255 - alpha : value;
      }
      image.data[place + 3] = opaque ? 255 : alpha;
    }
  }
  return image;
}

/** Read a result to its end as a file of a lossy format; JPEG lays transparency over white. */
export async function toLossy(making: Making, type: "image/jpeg" | "image/webp", quality: number): Promise<Blob> {
  const { width, height } = making;
  if (Math.max(width, height) > MOST_SIDE || width * height > MOST_PIXELS) {
    throw new UpscaleError(
      `${width} x ${height} pixels are more than a browser writes as ${type.slice(6).toUpperCase()}. Take PNG, or a smaller scale.`,
    );
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: type !== "image/jpeg" });
  if (!context) throw new UpscaleError("The browser gives no canvas of this size. Take PNG, or a smaller scale.");
  context.putImageData(await toPixels(making, type === "image/jpeg"), 0, 0);
  const blob = await canvas.convertToBlob({ type, quality });
  if (blob.type !== type) throw new UpscaleError(`This browser writes no ${type.slice(6).toUpperCase()}. Take PNG.`);
  return blob;
}
