/** What a picture's file carries that the browser does not hand on: read from its first bytes, to be told honestly. */

import { orientation } from "./exif.js";

/** What a file says of itself. */
export interface Carried {
  readonly kind: "jpeg" | "png" | "webp" | "avif" | "gif" | "bmp" | "other";
  /** Bits of a channel. */
  readonly bits: number;
  readonly gray: boolean;
  readonly profile: boolean;
  readonly exif: boolean;
  /** As EXIF counts, 1 to 8; from 2 on the picture must be turned or mirrored. */
  readonly orientation: number;
  readonly animated: boolean;
}

const READ = 1 << 20;
/** Where EXIF data or a second picture come after the first picture. */
const WHOLE: readonly Carried["kind"][] = ["png", "webp", "gif"];

/** Look at a file: at its first bytes where they tell all. */
export async function carriedBy(file: Blob): Promise<Carried> {
  const read = async (part: Blob): Promise<Carried> => inspect(new Uint8Array(await part.arrayBuffer()));
  const first = await read(file.slice(0, READ));
  return file.size > READ && WHOLE.includes(first.kind) ? read(file) : first;
}

/** Sentences about what a result lacks of its input; `turned` says whether the browser turns such files as EXIF says. */
export function losses(carried: Carried, turned = true): string[] {
  const told = [];
  if (carried.bits > 8) told.push(`The file has ${carried.bits} bits a channel. A browser reads 8 of them, so the result has 8.`);
  if (carried.profile) told.push("The file's colour profile (ICC) is not in the result: its colours were converted to sRGB.");
  if (carried.exif) told.push(`EXIF data (camera, date, place) are not in the result${upright(carried, turned)}.`);
  if (carried.animated) told.push("Only the first picture of the animation was made larger.");
  return told;
}

function upright(carried: Carried, turned: boolean): string {
  if (carried.orientation === 1) return "";
  return turned ? "; the picture was turned upright" : "; the picture was not turned as they say, for this browser does not turn it";
}

/** Read the facts from a file's first bytes, or from all of them. */
export function inspect(bytes: Uint8Array): Carried {
  const none: Carried = { kind: "other", bits: 8, gray: false, profile: false, exif: false, orientation: 1, animated: false };
  try {
    if (bytes[0] === 0xff && bytes[1] === 0xd8) return { ...none, ...jpeg(bytes) };
    if (text(bytes, 1, 3) === "PNG") return { ...none, ...png(bytes) };
    if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP") return { ...none, ...webp(bytes) };
    if (text(bytes, 4, 4) === "ftyp") return { ...none, ...avif(bytes) };
    if (text(bytes, 0, 3) === "GIF") return { ...none, kind: "gif", animated: pictures(bytes) > 1 };
    if (text(bytes, 0, 2) === "BM") return { ...none, kind: "bmp" };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a file that ends early: the browser will say that it is damaged
  }
  return none;
}

function jpeg(bytes: Uint8Array): Partial<Carried> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = { kind: "jpeg" as const, bits: 8, gray: false, profile: false, exif: false, orientation: 1 };
  for (let place = 2; place + 4 < bytes.length && bytes[place] === 0xff; ) {
    const marker = bytes[place + 1];
    if (marker === 0xda) break;
    if (marker === 0xff) {
      place += 1;
      continue;
    }
    if (marker === 0xe1 && text(bytes, place + 4, 4) === "Exif" && !found.exif) {
      found.exif = true;
      found.orientation = orientation(bytes.subarray(place + 4, place + 2 + view.getUint16(place + 2)));
    }
    if (marker === 0xe2 && text(bytes, place + 4, 11) === "ICC_PROFILE") found.profile = true;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      found.bits = bytes[place + 4];
      found.gray = bytes[place + 9] === 1;
    }
    place += 2 + view.getUint16(place + 2);
  }
  return found;
}

function png(bytes: Uint8Array): Partial<Carried> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = { kind: "png" as const, bits: 8, gray: false, profile: false, exif: false, orientation: 1, animated: false };
  for (let place = 8; place + 8 < bytes.length; place += 12 + view.getUint32(place)) {
    const name = text(bytes, place + 4, 4);
    if (name === "IHDR") {
      found.bits = Math.max(bytes[place + 16], 8);
      found.gray = [0, 4].includes(bytes[place + 17]);
    }
    found.profile ||= name === "iCCP";
    if (name === "eXIf") {
      found.exif = true;
      found.orientation = orientation(bytes.subarray(place + 8, place + 8 + view.getUint32(place)));
    }
    found.animated ||= name === "acTL";
  }
  return found;
}

function webp(bytes: Uint8Array): Partial<Carried> {
  const flags = text(bytes, 12, 4) === "VP8X" ? bytes[20] : 0;
  const found = { kind: "webp" as const, profile: (flags & 0x20) > 0, exif: (flags & 0x08) > 0, animated: (flags & 0x02) > 0 };
  return { ...found, orientation: found.exif ? orientation(webpChunk(bytes, "EXIF")) : 1 };
}

function webpChunk(bytes: Uint8Array, name: string): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let place = 12; place + 8 <= bytes.length; ) {
    const length = view.getUint32(place + 4, true);
    if (text(bytes, place, 4) === name) return bytes.subarray(place + 8, place + 8 + length);
    place += 8 + length + (length % 2);
  }
  return new Uint8Array();
}

/** Count the pictures of a GIF. Its blocks are walked: whether it repeats is no sign of how many it has. */
function pictures(bytes: Uint8Array): number {
  const colours = (flags: number): number => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let count = 0;
  let place = 13 + colours(bytes[10]);
  while (place < bytes.length) {
    const kind = bytes[place];
    if (kind === 0x2c) {
      count += 1;
      place += 11 + colours(bytes[place + 9]);
    } else if (kind === 0x21) place += 2;
    else break;
    while (bytes[place] > 0) place += bytes[place] + 1;
    place += 1;
  }
  return count;
}

function avif(bytes: Uint8Array): Partial<Carried> {
  const codec = find(bytes, "av1C", 1 << 14);
  const depth = codec < 0 ? 0 : bytes[codec + 6];
  return {
    kind: "avif",
    bits: depth & 0x40 ? (depth & 0x20 ? 12 : 10) : 8,
    gray: (depth & 0x10) > 0,
    profile: holds(bytes, "prof", 1 << 14),
    exif: holds(bytes, "Exif", 1 << 14),
    animated: text(bytes, 8, 4) === "avis",
  };
}

function holds(bytes: Uint8Array, word: string, within: number): boolean {
  return find(bytes, word, within) >= 0;
}

function find(bytes: Uint8Array, word: string, within: number): number {
  const end = Math.min(bytes.length, within) - word.length;
  for (let place = 0; place <= end; place++) if (text(bytes, place, word.length) === word) return place;
  return -1;
}

function text(bytes: Uint8Array, place: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(place, place + length));
}
