/** Pictures as the engine reads them: rows of RGBA bytes, not premultiplied, a strip at a time. */

/** A picture whose rows can be read. What it holds in memory is its own business. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Whether all pixels are known to be opaque, or not; undefined where nobody looked. */
  readonly opaque?: boolean;
  /** The rows [top, bottom) as RGBA bytes; the answer is not written to. */
  read(top: number, bottom: number): Uint8ClampedArray | Uint8Array;
}

/** A picture in an array of RGBA bytes. */
export class ArrayPicture implements Picture {
  constructor(
    readonly width: number,
    readonly height: number,
    private readonly bytes: Uint8ClampedArray | Uint8Array,
    readonly opaque?: boolean,
  ) {}

  read(top: number, bottom: number): Uint8ClampedArray | Uint8Array {
    return this.bytes.subarray(top * this.width * 4, bottom * this.width * 4);
  }
}

/** Whether a picture has pixels that are not opaque. */
export function hasAlpha(picture: Picture): boolean {
  if (picture.opaque !== undefined) return !picture.opaque;
  return strips(picture, (bytes) => {
    for (let place = 3; place < bytes.length; place += 4) if (bytes[place] !== 255) return true;
    return false;
  });
}

function strips(picture: Picture, found: (bytes: Uint8ClampedArray | Uint8Array) => boolean): boolean {
  const rows = Math.max(1, Math.floor(1_000_000 / picture.width));
  for (let top = 0; top < picture.height; top += rows) {
    if (found(picture.read(top, Math.min(top + rows, picture.height)))) return true;
  }
  return false;
}
