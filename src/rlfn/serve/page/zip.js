/**
 * A zip archive made in the browser, its files stored as they are: pictures are compressed already.
 *
 * zipped([{ name, blob }]) returns a promise of a Blob. Two files of one name become "a.png" and "a (2).png".
 * It throws a RangeError above 4 GB or 65,535 files, which this plain form cannot hold.
 */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest >>> 0;
});

export function crc32(bytes, before = 0) {
  let sum = ~before;
  for (let i = 0; i < bytes.length; i++) sum = TABLE[(sum ^ bytes[i]) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

async function crcOf(blob) {
  let sum = 0;
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return sum;
    sum = crc32(value, sum);
  }
}

/** Return names of which no two are alike, in the order given. */
export function distinct(names) {
  const taken = new Set();
  return names.map((name) => {
    const dot = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
    let one = name;
    for (let count = 2; taken.has(one.toLowerCase()); count++) one = `${name.slice(0, dot)} (${count})${name.slice(dot)}`;
    taken.add(one.toLowerCase());
    return one;
  });
}

function header(signature, fields) {
  const sizes = fields.map(([size]) => size);
  const view = new DataView(new ArrayBuffer(4 + sizes.reduce((sum, size) => sum + size, 0)));
  view.setUint32(0, signature, true);
  let at = 4;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

export async function zipped(files) {
  const total = files.reduce((sum, { blob }) => sum + blob.size, 0);
  if (total > 0xf0000000 || files.length > 0xffff) {
    throw new RangeError("These pictures are too large for one zip file. Download them one by one.");
  }
  const now = new Date();
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const day = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  const parts = [];
  const directory = [];
  const names = distinct(files.map(({ name }) => name));
  let offset = 0;
  for (const [index, { blob }] of files.entries()) {
    const name = new TextEncoder().encode(names[index]);
    const sum = await crcOf(blob);
    // version 2.0, names in UTF-8, stored
    const common = [[2, 20], [2, 0x0800], [2, 0], [2, time], [2, day], [4, sum], [4, blob.size], [4, blob.size], [2, name.length], [2, 0]];
    const local = header(0x04034b50, common);
    parts.push(local, name, blob);
    directory.push(header(0x02014b50, [[2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), name);
    offset += local.length + name.length + blob.size;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = header(0x06054b50, [[2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
