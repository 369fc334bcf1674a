// The view in a file of HTML: shows the recording that the file contains.
// The address remembers what is shown, after its #: arm, step, samples.

const pageRoot = document.getElementById("view") ?? document.body;

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
  showRecording(await recordingOfFile(), sceneOfAddress(location.hash, sceneOfFile()));
} catch (error) {
  pageView?.destroy();
  pageRoot.replaceChildren(make("p", { role: "alert" }, troubleOf(error)));
}
