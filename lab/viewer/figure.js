// A moving figure in a file of HTML, alone or in a page that embeds it: mounts the screen that the
// file names. The page around it sends {kind: "theme", theme: "light" or "dark"}, and is sent
// {kind: "height", height} in CSS pixels.

const figureRoot = document.getElementById("view") ?? document.body;
const isEmbedded = window.parent !== window;
const DAMAGED_FIGURE = "This file is damaged or incomplete: get it again.";
const FIGURES = { run: showRun, clouds: showClouds, critics: showCritics };
let figureView = null;

function followTheme({ data, source }) {
  if (source !== window.parent || data?.kind !== "theme" || !["light", "dark"].includes(data.theme)) return;
  document.documentElement.dataset.theme = data.theme;
  figureView?.redraw();
}

function reportHeight() {
  const height = Math.ceil(document.body.getBoundingClientRect().height);
  window.parent.postMessage({ kind: "height", height }, "*"); // a number, whoever embeds this
}

function showRun(content, { scene }) {
  figureView = mount(figureRoot, { kind: "figure", can: { present: !isEmbedded }, send: () => {} }, scene);
  figureView.receive(content);
  const { about, status, labels } = figureView.store.run(scene.sides[0][0]);
  if (figureView.number !== 1 || !about || !status || !labels) throw new Error(DAMAGED_FIGURE);
}

function showClouds(content, { scene, offers }) {
  const shapes = unpack(content).parts;
  const answers = new CloudAnswers(shapes);
  const send = (message) => answers.answer(message, figureView);
  figureView = mountPlayground(figureRoot, { kind: "figure", answersAtOnce: true, offers, send }, { clouds: scene });
  figureView.takeParts([answers.shapesOf(scene)].map((part) => ({ ...part, kind: "shapes" })), true);
}

function showCritics(content) {
  figureView = mountRecordedCritics(figureRoot, { kind: "figure", send: () => {} }, unpack(content).parts);
}

document.documentElement.classList.toggle("embedded", isEmbedded);
window.addEventListener("message", followTheme);
try {
  const content = await recordingOfFile();
  const about = JSON.parse(figureRoot.dataset.figure);
  figureRoot.replaceChildren();
  FIGURES[about.screen](content, about);
} catch (error) {
  figureView?.destroy();
  figureRoot.replaceChildren(make("p", { role: "alert" }, error instanceof FileTrouble ? error.message : DAMAGED_FIGURE));
}
if (isEmbedded) new ResizeObserver(reportHeight).observe(document.body);
