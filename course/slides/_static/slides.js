// Fits each slide to the screen: wide formulas become smaller, figures take the height that is left.
const START = 690; // the height in CSS pixels that a moving figure gets until it tells its own
const SMALLEST = 0.55; // of the scale of a moving figure

function fit(slide) {
  for (const formula of slide.querySelectorAll(".formula")) {
    formula.style.fontSize = "";
    const share = formula.clientWidth / formula.scrollWidth;
    if (share < 1) formula.style.fontSize = `${0.98 * share}em`;
  }
  const figure = slide.querySelector(".moving, .drawing > svg, svg.wcord-schematic");
  if (!figure) return;
  figure.style.height = "0px";
  const room = Math.max(160, Reveal.getConfig().height - slide.scrollHeight - 16);
  figure.style.height = `${room}px`;
  const frame = figure.querySelector("iframe");
  if (frame) scaleFrame(frame, Math.min(1, room / (frame.needed ?? START)));
  else figure.style.width = "auto";
}

function scaleFrame(frame, scale) {
  frame.scale = scale;
  const { clientWidth, clientHeight } = frame.parentElement;
  frame.style.width = `${clientWidth / scale}px`;
  frame.style.height = `${clientHeight / scale}px`;
  frame.style.transform = `scale(${scale})`;
}

/** A moving figure tells its height: it depends on its width, and this on the scale. */
function takeHeight({ data, source }) {
  if (data?.kind !== "height") return;
  const frame = [...document.querySelectorAll(".moving iframe")].find((one) => one.contentWindow === source);
  if (!frame?.scale) return;
  source.postMessage({ kind: "theme", theme: "light" }, "*");
  const room = frame.parentElement.clientHeight;
  if (data.height * frame.scale > room + 2 && frame.scale > SMALLEST) scaleFrame(frame, Math.max(SMALLEST, room / data.height));
}

addEventListener("message", takeHeight);
Reveal.on("ready", ({ currentSlide }) => fit(currentSlide));
Reveal.on("slidechanged", ({ currentSlide }) => fit(currentSlide));
