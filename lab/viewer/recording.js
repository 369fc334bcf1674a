// The recording that a file of HTML contains: expanded, checked, and as it was before it was packed.

const DAMAGED_FILE = "This file is damaged or incomplete: get it again, or make it again with wcord page.";

/** What is wrong with the file, in words for its reader; all other errors mean that it is damaged. */
class FileTrouble extends Error {}

/** Return the words for an error of a file. */
export function troubleOf(error) {
  return error instanceof FileTrouble ? error.message : DAMAGED_FILE;
}

/** Return the frames that the file contains. Throws where they are missing or damaged. */
export async function recordingOfFile() {
  const content = await expandedRecording();
  checkVersion(content);
  return undoDifferences(content);
}

async function expandedRecording() {
  if (!globalThis.DecompressionStream) throw new FileTrouble("This browser cannot expand the recording: use one of 2023 or later.");
  const coded = document.getElementById("recording").textContent;
  const bytes = Uint8Array.from(atob(coded), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Refuse bytes that are no frames, or frames of another version, before they are read. */
function checkVersion(bytes) {
  const version = versionOf(bytes);
  if (version === null) throw new Error(DAMAGED_FILE);
  if (version === LAB.version) return;
  throw new FileTrouble(`The recording has version ${version}, its view reads version ${LAB.version}: make the file again with wcord page.`);
}

/** Undo in place what packing.py did: plans and scores as differences from the frame before. */
function undoDifferences(bytes) {
  const begin = HEAD + new DataView(bytes.buffer).getUint32(8, true);
  const { about, parts } = JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD, begin)));
  const before = new Map();
  for (const { kind, arm, arrays } of parts) {
    if (kind !== "frame") continue;
    for (const name of about.differences ?? []) {
      const [, [rows, columns], offset] = arrays[name];
      const values = bytes.subarray(begin + offset, begin + offset + rows * columns);
      const earlier = before.get(`${name} of ${arm}`);
      if (earlier?.length === values.length) for (let i = 0; i < values.length; i += 1) values[i] += earlier[i];
      before.set(`${name} of ${arm}`, values);
    }
  }
  return bytes;
}
