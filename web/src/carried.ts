/** What a picture's file carries that the browser does not hand on: read from its first bytes, to be told honestly. */

/** What a file says of itself. */
export interface Carried {
  readonly kind: "jpeg" | "png" | "webp" | "avif" | "gif" | "bmp" | "other";
  /** Bits of a channel. */
  readonly bits: number;
  readonly gray: boolean;
  readonly profile: boolean;
  readonly exif: boolean;
  readonly animated: boolean;
}

const READ = 1 << 20;

/** Look at the first bytes of a file. */
export async function carriedBy(file: Blob): Promise<Carried> {
  return inspect(new Uint8Array(await file.slice(0, READ).arrayBuffer()));
}

/** Sentences about what a result lacks of its input. */
export function losses(carried: Carried): string[] {
  const told = [];
  if (carried.bits > 8) told.push(`The file has ${carried.bits} bits a channel. A browser reads 8 of them, so the result has 8.`);
  if (carried.profile) told.push("The file's colour profile (ICC) is not in the result: its colours were converted to sRGB.");
  if (carried.exif) told.push("EXIF data (camera, date, place) are not in the result; the picture was turned upright.");
  if (carried.animated) told.push("Only the first picture of the animation was made larger.");
  return told;
}

/** Read the facts from a file's first bytes. */
export function inspect(bytes: Uint8Array): Carried {
  const none: Carried = { kind: "other", bits: 8, gray: false, profile: false, exif: false, animated: false };
  try {
    if (bytes[0] === 0xff && bytes[1] === 0xd8) return { ...none, ...jpeg(bytes) };
    if (text(bytes, 1, 3) === "PNG") return { ...none, ...png(bytes) };
    if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP") return { ...none, ...webp(bytes) };
    if (text(bytes, 4, 4) === "ftyp") return { ...none, ...avif(bytes) };
    if (text(bytes, 0, 3) === "GIF") return { ...none, kind: "gif", animated: holds(bytes, "NETSCAPE2.0", READ) };
    if (text(bytes, 0, 2) === "BM") return { ...none, kind: "bmp" };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a file that ends early: the browser will say that it is damaged
  }
  return none;
}

function jpeg(bytes: Uint8Array): Partial<Carried> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = { kind: "jpeg" as const, bits: 8, gray: false, profile: false, exif: false };
  for (let place = 2; place + 4 < bytes.length && bytes[place] === 0xff; ) {
    const marker = bytes[place + 1];
    if (marker === 0xda) break;
    if (marker === 0xff) {
      place += 1;
      continue;
    }
    if (marker === 0xe1 && text(bytes, place + 4, 4) === "Exif") found.exif = true;
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
  const found = { kind: "png" as const, bits: 8, gray: false, profile: false, exif: false, animated: false };
  for (let place = 8; place + 8 < bytes.length; place += 12 + view.getUint32(place)) {
    const name = text(bytes, place + 4, 4);
    if (name === "IHDR") {
      found.bits = Math.max(bytes[place + 16], 8);
      found.gray = [0, 4].includes(bytes[place + 17]);
    }
    found.profile ||= name === "iCCP";
    found.exif ||= name === "eXIf";
    found.animated ||= name === "acTL";
  }
  return found;
}

function webp(bytes: Uint8Array): Partial<Carried> {
  const flags = text(bytes, 12, 4) === "VP8X" ? bytes[20] : 0;
  return { kind: "webp", profile: (flags & 0x20) > 0, exif: (flags & 0x08) > 0, animated: (flags & 0x02) > 0 };
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
