/** From what a visitor gives to a picture that can be read in strips. */

import { type Carried, carriedBy, losses } from "./carried.js";
import { UpscaleError } from "./errors.js";
import { exactPixels } from "./exact.js";
import { ArrayPicture, hasAlpha, type Picture } from "./picture.js";

/** What can be upscaled. */
export type Source = ImageBitmap | ImageData | Blob;

/** A picture, what must be said of it, and what frees its memory. */
export interface Decoded {
  readonly picture: Picture;
  readonly gray: boolean;
  readonly notes: readonly string[];
  close(): void;
}

/** Decode a source. A file is turned upright as the browser does it, and its colours become sRGB. */
export async function decode(source: Source): Promise<Decoded> {
  if (source instanceof ImageData) {
    const picture = new ArrayPicture(source.width, source.height, source.data);
    return { picture, gray: false, notes: [], close: () => undefined };
  }
  if (source instanceof ImageBitmap) {
    return { picture: new BitmapPicture(source), gray: false, notes: [], close: () => source.close() };
  }
  const carried = await carriedBy(source);
  const bitmap = await decodeFile(source);
  const picture = await readable(bitmap, carried);
  const notes = losses(carried, await turns(carried));
  return { picture, gray: carried.gray, notes, close: () => bitmap.close() };
}

/** Choose how a decoded file is read: through a canvas, or byte for byte if it is transparent. */
async function readable(bitmap: ImageBitmap, carried: Carried): Promise<Picture> {
  if (carried.kind === "jpeg" || carried.kind === "bmp") return new BitmapPicture(bitmap, true);
  const rough = new BitmapPicture(bitmap);
  if (!hasAlpha(rough)) return new BitmapPicture(bitmap, true);
  const bytes = await exactPixels(bitmap, rough);
  return bytes ? new ArrayPicture(bitmap.width, bitmap.height, bytes, false) : new BitmapPicture(bitmap, false);
}

/** A WebP of 2 x 1 pixels whose EXIF says that it stands on its side. */
const LYING =
  "UklGRlIAAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TBEAAAAvAQAAAAfQhCY0of+BiOh/AABFWElGGgAAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA";

/** Whether the browser turns such a file as its EXIF says: JPEG and PNG are turned by all, WebP by some. */
async function turns(carried: Carried): Promise<boolean> {
  if (carried.kind !== "webp" || carried.orientation === 1) return true;
  const probe = await decodeFile(new Blob([Uint8Array.from(atob(LYING), (letter) => letter.charCodeAt(0))]));
  const upright = probe.height === 2;
  probe.close();
  return upright;
}

async function decodeFile(file: Blob): Promise<ImageBitmap> {
  if (!file.size) throw new UpscaleError("The file is empty.");
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", premultiplyAlpha: "none" });
  } catch {
    throw new UpscaleError(
      "The browser cannot read this file as a picture. It reads JPEG, PNG, WebP, AVIF, GIF and BMP, unless they are damaged or too large for it.",
    );
  }
}

/** A decoded picture, whose rows are read through a canvas of the height of a strip. */
class BitmapPicture implements Picture {
  readonly width: number;
  readonly height: number;

  constructor(
    private readonly bitmap: ImageBitmap,
    readonly opaque?: boolean,
  ) {
    this.width = bitmap.width;
    this.height = bitmap.height;
  }

  read(top: number, bottom: number): Uint8ClampedArray {
    const canvas = new OffscreenCanvas(this.width, bottom - top);
    const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
    if (!context) throw new UpscaleError("The browser gives no canvas to read the picture with. Close other pages and try again.");
    context.drawImage(this.bitmap, 0, -top);
    return context.getImageData(0, 0, this.width, bottom - top).data;
  }
}
