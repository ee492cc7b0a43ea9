/** Pictures in, rows of larger pictures out. Value range, tiles, frames, alpha and rounding live here. */

import { fillTransparent, limitAlpha } from "./alpha.js";
import { type Channels, frameWidth, source } from "./frame.js";
import { type AxisGrid, axisGrid } from "./grid.js";
import type { Model } from "./models.js";
import { ArrayPicture, hasAlpha, type Picture } from "./picture.js";
import { type Span, spans } from "./tiling.js";

/** A loaded network. */
export interface Network {
  readonly model: Model;
  /** Upscale (3, height, width) in [0, 255] to (3, scale height, scale width). */
  run(lr: Float32Array, height: number, width: number, grid?: readonly [AxisGrid, AxisGrid]): Promise<Float32Array>;
}

/** Rows of a result from top to bottom: `channels` bytes a pixel (1 gray, 2 gray and alpha, 3 RGB, 4 RGBA). */
export interface Band {
  readonly rows: number;
  readonly pixels: Uint8Array;
}

/** How a picture is made larger. */
export interface Work {
  readonly network: Network;
  readonly picture: Picture;
  /** The largest side of a tile in px of the input. */
  readonly tile: number;
  /** Whether the picture's file is gray, so that its result is one channel. */
  readonly gray: boolean;
  readonly onProgress?: (share: number) => void;
}

/** A result that is made while it is read. */
export interface Making {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly bands: AsyncGenerator<Band>;
}

// BT.601, as the package makes gray of RGB
const LUMA = [0.299, 0.587, 0.114];

/** Begin to make a picture larger; the work happens as the bands are read. */
export function enlarge(work: Work): Making {
  const { picture, network } = work;
  const size = { width: picture.width * network.model.scale, height: picture.height * network.model.scale };
  const colours = work.gray ? 1 : 3;
  if (!hasAlpha(picture)) {
    return { ...size, channels: colours, bands: planes(work, picture, colour(work.gray), counted(work, 1)) };
  }
  return { ...size, channels: colours + 1, bands: withAlpha(work, colours) };
}

function colour(gray: boolean): Channels {
  return gray ? [0] : [0, 1, 2];
}

async function* withAlpha(work: Work, colours: number): AsyncGenerator<Band> {
  const { width, height } = work.picture;
  const { scale } = work.network.model;
  const bytes = work.picture.read(0, height).slice();
  const alpha = new Uint8Array(width * height);
  for (let pixel = 0; pixel < alpha.length; pixel++) alpha[pixel] = bytes[pixel * 4 + 3];
  const constant = alpha.every((value) => value === alpha[0]);
  if (!constant) fillTransparent(bytes, width, height);
  const picture = new ArrayPicture(width, height, bytes, true);
  const onTile = counted(work, constant ? 1 : 2);
  const wide = constant ? undefined : new RowReader(planes(work, picture, [3], onTile), width * scale);
  let top = 0;
  for await (const band of planes(work, picture, colour(work.gray), onTile)) {
    const bottom = top + band.rows / scale;
    const transparency = wide ? await wide.take(band.rows) : undefined;
    if (transparency) limitAlpha(transparency, alpha, width, top, bottom, scale);
    const pixels = new Uint8Array(band.rows * width * scale * (colours + 1));
    for (let pixel = 0; pixel < band.rows * width * scale; pixel++) {
      for (let channel = 0; channel < colours; channel++) {
        pixels[pixel * (colours + 1) + channel] = band.pixels[pixel * colours + channel];
      }
      pixels[pixel * (colours + 1) + colours] = transparency ? transparency[pixel] : alpha[0];
    }
    yield { rows: band.rows, pixels };
    top = bottom;
  }
}

/** Takes any number of rows of one byte a pixel from bands of other heights. */
class RowReader {
  private kept = new Uint8Array(0);

  constructor(
    private readonly bands: AsyncGenerator<Band>,
    private readonly width: number,
  ) {}

  async take(rows: number): Promise<Uint8Array> {
    const wanted = rows * this.width;
    while (this.kept.length < wanted) {
      const next = await this.bands.next();
      if (next.done) throw new Error("the alpha channel ended before the colours");
      const joined = new Uint8Array(this.kept.length + next.value.pixels.length);
      joined.set(this.kept);
      joined.set(next.value.pixels, this.kept.length);
      this.kept = joined;
    }
    const taken = this.kept.slice(0, wanted);
    this.kept = this.kept.slice(wanted);
    return taken;
  }
}

/** Report progress by tiles; the passes of a picture have about as many tiles each. */
function counted(work: Work, passes: number): (share: number) => void {
  let done = 0;
  return (share) => {
    done += share / passes;
    work.onProgress?.(Math.min(done, 1));
  };
}

/** Upscale some channels of a picture; yield them interleaved, or one channel where one went in. */
async function* planes(
  work: Work,
  picture: Picture,
  channels: Channels,
  onTile: (share: number) => void,
): AsyncGenerator<Band> {
  const { network, tile } = work;
  const { scale, margin, stride, minSide } = network.model;
  const framed = frameWidth(picture, channels);
  const height = Math.max(picture.height + 2 * framed, minSide);
  const width = Math.max(picture.width + 2 * framed, minSide);
  const [rows, columns] = [height, width].map((side) => spans(side, tile, margin, stride));
  const kept = rows.filter((row) => own(row, framed, picture.height).rows > 0);
  const seen = columns.filter((column) => own(column, framed, picture.width).rows > 0);
  for (const row of kept) {
    const mine = own(row, framed, picture.height);
    const strip = readStrip(picture, row, framed);
    const pixels = new Uint8Array(mine.rows * scale * picture.width * scale * channels.length);
    for (const column of seen) {
      const lr = cut(strip, row, column, picture, framed, channels);
      const grid = network.model.takesGrid
        ? ([axisGrid(row.start, row.stop, height), axisGrid(column.start, column.stop, width)] as const)
        : undefined;
      const sr = await network.run(lr, row.stop - row.start, column.stop - column.start, grid);
      paste(sr, pixels, row, column, mine, own(column, framed, picture.width), picture.width, framed, scale, channels.length);
      onTile(1 / (kept.length * seen.length));
    }
    yield { rows: mine.rows * scale, pixels };
  }
}

interface Own {
  readonly first: number;
  readonly rows: number;
}

/** What a span's core makes of the picture inside its frame. */
function own(span: Span, framed: number, length: number): Own {
  const first = Math.max(span.coreStart - framed, 0);
  return { first, rows: Math.max(Math.min(span.coreStop - framed, length) - first, 0) };
}

interface Strip {
  readonly top: number;
  readonly bytes: Uint8ClampedArray | Uint8Array;
}

/** Read the rows of the picture that a row of tiles sees. */
function readStrip(picture: Picture, row: Span, framed: number): Strip {
  let top = picture.height;
  let bottom = 0;
  for (let place = row.start; place < row.stop; place++) {
    const found = source(place, picture.height, framed);
    top = Math.min(top, found);
    bottom = Math.max(bottom, found + 1);
  }
  return { top, bytes: picture.read(top, bottom) };
}

/** Cut a tile (3, height, width) out of a strip. */
function cut(strip: Strip, row: Span, column: Span, picture: Picture, framed: number, channels: Channels): Float32Array {
  const height = row.stop - row.start;
  const width = column.stop - column.start;
  const lr = new Float32Array(3 * height * width);
  const places = Int32Array.from({ length: width }, (_, x) => source(column.start + x, picture.width, framed) * 4);
  for (let channel = 0; channel < 3; channel++) {
    const from = channels[channel % channels.length];
    for (let y = 0; y < height; y++) {
      const line = (source(row.start + y, picture.height, framed) - strip.top) * picture.width * 4 + from;
      const to = (channel * height + y) * width;
      for (let x = 0; x < width; x++) lr[to + x] = strip.bytes[line + places[x]];
    }
  }
  return lr;
}

/** Round the core of a tile's result into the band. */
function paste(
  sr: Float32Array,
  band: Uint8Array,
  row: Span,
  column: Span,
  down: Own,
  across: Own,
  pictureWidth: number,
  framed: number,
  scale: number,
  channels: number,
): void {
  const tileWidth = (column.stop - column.start) * scale;
  const plane = (row.stop - row.start) * scale * tileWidth;
  const lineBytes = pictureWidth * scale * channels;
  const left = (across.first + framed - column.start) * scale;
  const top = (down.first + framed - row.start) * scale;
  for (let y = 0; y < down.rows * scale; y++) {
    const from = (top + y) * tileWidth + left;
    const to = y * lineBytes + across.first * scale * channels;
    for (let x = 0; x < across.rows * scale; x++) {
      if (channels === 1) {
        const place = from + x;
        band[to + x] = level(LUMA[0] * sr[place] + LUMA[1] * sr[plane + place] + LUMA[2] * sr[2 * plane + place]);
      } else {
        for (let channel = 0; channel < 3; channel++) band[to + x * 3 + channel] = level(sr[channel * plane + from + x]);
      }
    }
  }
}

/** Round half up and clip; what is no number becomes 0. */
function level(value: number): number {
  return value >= 254.5 ? 255 : value > 0 ? (value + 0.5) | 0 : 0;
}
