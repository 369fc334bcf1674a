// Frames as bytes: the reading half of `frames.py`, where the format is written down.

const NUMBERS = {
  u1: Uint8Array, u2: Uint16Array, i2: Int16Array, i4: Int32Array, f4: Float32Array, f8: Float64Array,
};
const HEAD = 12;
const DAMAGED_FRAMES = "damaged frames: load the page again";

/** Return the version of frames, null where the bytes are no frames. */
export function versionOf(bytes) {
  const letters = String.fromCharCode(...bytes.subarray(0, 4));
  if (bytes.length < HEAD || letters !== "WCRD") return null;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(4, true);
}

/** Return `{about, parts}`; every part has `kind`, what is known of it, and its `arrays`.
 *  Throws an Error of one line for bytes that are no frames, of another version, or damaged. */
export function unpack(bytes) {
  const version = versionOf(bytes);
  if (version === null) throw new Error(DAMAGED_FRAMES);
  if (version !== LAB.version) {
    throw new Error(`frames of version ${version}: this view reads version ${LAB.version}; load the page again`);
  }
  const begin = HEAD + new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
  try {
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD, begin)));
    return { about: header.about, parts: header.parts.map((part) => withArrays(part, bytes, begin)) };
  } catch { // the parser's words help nobody
    throw new Error(DAMAGED_FRAMES);
  }
}

function withArrays(part, bytes, begin) {
  const arrays = {};
  for (const [name, [type, shape, offset]] of Object.entries(part.arrays)) {
    const Numbers = NUMBERS[type];
    const count = shape.reduce((a, b) => a * b, 1);
    const start = begin + offset;
    const end = start + count * Numbers.BYTES_PER_ELEMENT;
    if (!(count >= 0) || offset < 0 || end > bytes.length) throw new Error(`${name} lies outside of the bytes`);
    arrays[name] = new Numbers(bytes.slice(start, end).buffer); // a copy, aligned
    arrays[name].shape = shape;
  }
  return { ...part, arrays };
}
