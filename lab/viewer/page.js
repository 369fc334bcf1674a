// The view in a file of HTML: expands the recording that the file contains, and mounts the view.
// The address remembers what is shown, after its #: arm, step, samples.

const pageRoot = document.getElementById("view");

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
  if (!globalThis.DecompressionStream) throw new Error("this browser cannot expand it; one of 2023 or later can");
  const coded = document.getElementById("recording").textContent;
  const bytes = Uint8Array.from(atob(coded), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
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

try {
  const content = undoDifferences(await expandedRecording());
  const scene = sceneOfAddress(location.hash, JSON.parse(pageRoot.dataset.scene));
  pageRoot.replaceChildren();
  mount(pageRoot, { kind: "page", can: {}, send: rememberScene }, scene).receive(content);
} catch (error) {
  pageRoot.replaceChildren(make("p", { role: "alert" }, `The recording cannot be shown: ${error.message}`));
}
