// The view in a file of HTML: expands the recording that the file contains, and mounts the view.
// The address remembers what is shown, after its #: arm, step, samples.

const pageRoot = document.getElementById("view") ?? document.body;
const DAMAGED_FILE = "This file is damaged or incomplete: get it again, or make it again with wcord page.";

/** What is wrong with the file, in words for its reader; all other errors mean that it is damaged. */
class FileTrouble extends Error {}

/** Return the scene that the file names. Throws where it names none. */
function sceneOfFile() {
  const scene = JSON.parse(pageRoot.dataset.scene);
  const isText = (value) => typeof value === "string";
  const whole = scene.sides[0].length === 2 && scene.sides.flat().every(isText) && scene.panels.every(isText);
  if (!whole) throw new Error(DAMAGED_FILE);
  return scene;
}

function sceneOfAddress(address, scene) {
  const found = { ...scene };
  const given = new URLSearchParams(address.slice(1));
  if (given.has("arm")) found.sides = [[scene.sides[0][0], given.get("arm")]];
  if (/^\d{1,9}$/.test(given.get("step"))) found.step = Number(given.get("step"));
  if (/^\d{1,9}(,\d{1,9})*$/.test(given.get("samples"))) found.selected = given.get("samples").split(",").map(Number);
  return found;
}

function rememberScene({ kind, scene }) {
  if (kind !== "scene") return;
  const kept = new URLSearchParams({ arm: scene.sides[0][1] });
  if (scene.step !== null) kept.set("step", scene.step);
  if (scene.selected.length) kept.set("samples", scene.selected.join(","));
  history.replaceState(null, "", `#${kept}`);
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

/** Show the recording. Throws where the file lacks something that the view needs. */
function showRecording(content, scene) {
  pageRoot.replaceChildren();
  pageView = mount(pageRoot, { kind: "page", can: {}, send: rememberScene }, scene);
  pageView.receive(content);
  const { about, status, labels } = pageView.store.run(scene.sides[0][0]);
  if (pageView.number !== 1 || !about || !status || !labels) throw new Error(DAMAGED_FILE);
}

let pageView = null;
try {
  const content = await expandedRecording();
  checkVersion(content);
  showRecording(undoDifferences(content), sceneOfAddress(location.hash, sceneOfFile()));
} catch (error) {
  pageView?.destroy();
  const words = error instanceof FileTrouble ? error.message : DAMAGED_FILE;
  pageRoot.replaceChildren(make("p", { role: "alert" }, words));
}
