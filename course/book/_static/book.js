// Moving figures follow the theme of the page and have the height of their content; a link to an
// equation shows the equation.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const frames = [...document.querySelectorAll("figure.moving iframe")];

function theme() {
  const chosen = document.body.dataset.theme;
  return chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light";
}

function tell(frame) {
  frame.contentWindow.postMessage({ kind: "theme", theme: theme() }, "*");
}

function tellAll() {
  frames.forEach(tell);
}

for (const frame of frames) frame.addEventListener("load", () => tell(frame));
window.addEventListener("message", ({ source, data }) => {
  const frame = frames.find((each) => each.contentWindow === source);
  if (!frame || data?.kind !== "height" || !(data.height > 0)) return;
  if (!frame.dataset.measured) tell(frame); // it may have loaded before this script
  frame.dataset.measured = "yes";
  frame.style.height = `${Math.min(data.height, 4000) + 2}px`; // 2: the border
});
new MutationObserver(tellAll).observe(document.body, { attributeFilter: ["data-theme"] });
dark.addEventListener("change", tellAll);

let preview = null;

function hidePreview() {
  preview?.remove();
  preview = null;
}

function showPreview(link) {
  hidePreview();
  const number = link.textContent.replace(/[()]/g, "");
  const formula = document.querySelector(`.previews [data-equation="${CSS.escape(number)}"]`);
  if (!formula) return;
  preview = document.createElement("div");
  preview.className = "equation-preview";
  preview.setAttribute("role", "tooltip");
  preview.append(...[...formula.childNodes].map((node) => node.cloneNode(true)));
  document.body.append(preview);
  const { left, top, bottom } = link.getBoundingClientRect();
  const { width, height } = preview.getBoundingClientRect();
  const room = document.documentElement.clientWidth - width - 16;
  const above = bottom + height + 8 > window.innerHeight && top > height + 8;
  preview.style.left = `${Math.max(16, Math.min(left, room)) + window.scrollX}px`;
  preview.style.top = `${(above ? top - height - 6 : bottom + 6) + window.scrollY}px`;
}

for (const link of document.querySelectorAll("a.to-equation")) {
  link.addEventListener("mouseenter", () => showPreview(link));
  link.addEventListener("focus", () => showPreview(link));
  link.addEventListener("mouseleave", hidePreview);
  link.addEventListener("blur", hidePreview);
}
document.addEventListener("keydown", (event) => event.key === "Escape" && hidePreview());
