/** Transparent pictures, byte for byte: a canvas multiplies colours with alpha and so rounds them, WebGL does not. */

import type { Picture } from "./picture.js";

const SIDE = 2048;

/** A canvas' colour may be so far from the file's where alpha is a quarter or more. */
const ROUNDED = 6;
const QUARTER = 64;

/**
 * Read the RGBA bytes of a bitmap that was decoded with `premultiplyAlpha: "none"`.
 *
 * @param rough the same picture, read through a canvas.
 * @returns the bytes, or undefined where there is no WebGL or what it gives is not the same picture.
 */
export async function exactPixels(bitmap: ImageBitmap, rough: Picture): Promise<Uint8Array | undefined> {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!context) return undefined;
  const bytes = new Uint8Array(width * height * 4);
  try {
    for (let top = 0; top < height; top += SIDE) {
      const rows = Math.min(SIDE, height - top);
      for (let left = 0; left < width; left += SIDE) {
        const columns = Math.min(SIDE, width - left);
        const part = await createImageBitmap(bitmap, left, top, columns, rows, { premultiplyAlpha: "none" });
        const read = download(context, part);
        part.close();
        for (let row = 0; row < rows; row++) {
          bytes.set(read.subarray(row * columns * 4, (row + 1) * columns * 4), ((top + row) * width + left) * 4);
        }
      }
      if (!alike(bytes.subarray(top * width * 4), rough.read(top, top + rows))) return undefined;
    }
    return bytes;
  } catch {
    return undefined;
  } finally {
    context.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function download(context: WebGL2RenderingContext, part: ImageBitmap): Uint8Array {
  const texture = context.createTexture();
  context.bindTexture(context.TEXTURE_2D, texture);
  context.pixelStorei(context.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  context.pixelStorei(context.UNPACK_COLORSPACE_CONVERSION_WEBGL, context.NONE);
  context.texImage2D(context.TEXTURE_2D, 0, context.RGBA8, part.width, part.height, 0, context.RGBA, context.UNSIGNED_BYTE, part);
  const frame = context.createFramebuffer();
  context.bindFramebuffer(context.FRAMEBUFFER, frame);
  context.framebufferTexture2D(context.FRAMEBUFFER, context.COLOR_ATTACHMENT0, context.TEXTURE_2D, texture, 0);
  const bytes = new Uint8Array(part.width * part.height * 4);
  context.readPixels(0, 0, part.width, part.height, context.RGBA, context.UNSIGNED_BYTE, bytes);
  const failed = context.getError() !== context.NO_ERROR;
  context.deleteFramebuffer(frame);
  context.deleteTexture(texture);
  if (failed) throw new Error("WebGL could not read the picture");
  return bytes;
}

/** Browsers that multiply with alpha all the same give darker colours, which this finds. */
function alike(exact: Uint8Array, rough: Uint8ClampedArray | Uint8Array): boolean {
  for (let place = 0; place < rough.length; place += 4) {
    if (exact[place + 3] !== rough[place + 3]) return false;
    if (rough[place + 3] < QUARTER) continue;
    for (let channel = place; channel < place + 3; channel++) if (Math.abs(exact[channel] - rough[channel]) > ROUNDED) return false;
  }
  return true;
}
