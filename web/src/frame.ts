/**
 * What surrounds a picture before the network sees it (`rlfn.inference.border`).
 *
 * Networks pad with black, to which a flat, bright border answers with rings. Such a picture is continued by its mirror
 * image, and what belongs to that is cut off again.
 */

import type { Picture } from "./picture.js";

/** So many px of mirror image are put around a picture with flat borders. */
export const MIRRORED = 12;

const DEPTH = 4;
const LENGTH = 16;
const FLAT = 2;
const BRIGHT = 64;

/** Channels of a picture that go through the network together: their places in its RGBA pixels. */
export type Channels = readonly number[];

/** How many px of mirror image the picture needs around it. */
export function frameWidth(picture: Picture, channels: Channels): number {
  return hasFlatBorder(picture, channels) ? MIRRORED : 0;
}

/**
 * Whether a stretch of the border is flat and bright: 16 px long and 4 deep, at most 2 levels apart in each channel,
 * and 64 or more in one.
 */
export function hasFlatBorder(picture: Picture, channels: Channels): boolean {
  const { width, height } = picture;
  const across = Math.min(DEPTH, height);
  const down = Math.min(DEPTH, width);
  const top = picture.read(0, across).slice();
  if (isFlat(width, across, channels, (along, depth, channel) => top[(depth * width + along) * 4 + channel])) return true;
  const bottom = picture.read(height - across, height).slice();
  if (isFlat(width, across, channels, (along, depth, channel) => bottom[(depth * width + along) * 4 + channel])) return true;
  const sides = new Uint8Array(height * 2 * down * 4);
  const rows = Math.max(1, Math.floor(1_000_000 / width));
  for (let first = 0; first < height; first += rows) {
    const bytes = picture.read(first, Math.min(first + rows, height));
    for (let row = 0; row * width * 4 < bytes.length; row++) {
      const line = bytes.subarray(row * width * 4, (row + 1) * width * 4);
      sides.set(line.subarray(0, down * 4), (first + row) * 2 * down * 4);
      sides.set(line.subarray((width - down) * 4), ((first + row) * 2 * down + down) * 4);
    }
  }
  return [0, down].some((from) =>
    isFlat(height, down, channels, (along, depth, channel) => sides[(along * 2 * down + from + depth) * 4 + channel]),
  );
}

function isFlat(
  length: number,
  deep: number,
  channels: Channels,
  value: (along: number, depth: number, channel: number) => number,
): boolean {
  const low = channels.map(() => new Uint8Array(length));
  const high = channels.map(() => new Uint8Array(length));
  channels.forEach((channel, number) => {
    for (let along = 0; along < length; along++) {
      let least = 255;
      let most = 0;
      for (let depth = 0; depth < deep; depth++) {
        const found = value(along, depth, channel);
        if (found < least) least = found;
        if (found > most) most = found;
      }
      low[number][along] = least;
      high[number][along] = most;
    }
  });
  const stretch = Math.min(LENGTH, length);
  for (let start = 0; start + stretch <= length; start++) {
    let bright = false;
    const flat = channels.every((_, number) => {
      const most = Math.max(...high[number].subarray(start, start + stretch));
      const least = Math.min(...low[number].subarray(start, start + stretch));
      bright ||= most >= BRIGHT;
      return most - least <= FLAT;
    });
    if (flat && bright) return true;
  }
  return false;
}

/** The pixel of an axis of `length` px that stands at `place` of its framed and grown form. */
export function source(place: number, length: number, framed: number): number {
  // a mirror image that repeats the border's own pixel, as often as it takes; what is beyond the frame repeats its edge
  const inside = Math.min(place, length + 2 * framed - 1) - framed;
  const period = 2 * length;
  const folded = ((inside % period) + period) % period;
  return folded < length ? folded : period - 1 - folded;
}
