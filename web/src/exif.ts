/** The one thing of EXIF that changes a picture: how it is turned. */

const ORIENTATION = 0x0112;
const SHORT = 3;

/** Read the orientation, 1 to 8, of EXIF data that begin with their byte order, or with "Exif" and two zeros; 1 if none is told. */
export function orientation(bytes: Uint8Array): number {
  const data = String.fromCharCode(...bytes.subarray(0, 4)) === "Exif" ? bytes.subarray(6) : bytes;
  const order = String.fromCharCode(...data.subarray(0, 2));
  if (order !== "II" && order !== "MM") return 1;
  const little = order === "II";
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  try {
    const first = view.getUint32(4, little);
    const count = view.getUint16(first, little);
    for (let entry = first + 2; entry < first + 2 + 12 * count; entry += 12) {
      if (view.getUint16(entry, little) !== ORIENTATION || view.getUint16(entry + 2, little) !== SHORT) continue;
      const told = view.getUint16(entry + 8, little);
      return told >= 1 && told <= 8 ? told : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // EXIF data that end early tell nothing
  }
  return 1;
}
