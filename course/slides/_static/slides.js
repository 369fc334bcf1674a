// Fits each slide to the screen: wide formulas become smaller, figures take the height that is left.
const FRAME = [1240, 690]; // the size in CSS pixels at which a moving figure is whole

function fit(slide) {
  for (const formula of slide.querySelectorAll(".formula")) {
    formula.style.fontSize = "";
    const share = formula.clientWidth / formula.scrollWidth;
    if (share < 1) formula.style.fontSize = `${0.98 * share}em`;
  }
  const figure = slide.querySelector(".moving, .drawing > svg, svg.wcord-schematic");
  if (!figure) return;
  const height = Reveal.getConfig().height;
  figure.style.height = "0px";
  const room = Math.max(160, height - slide.scrollHeight - 8);
  figure.style.height = `${room}px`;
  const frame = figure.querySelector?.("iframe");
  if (!frame) {
    figure.style.width = "auto";
    return;
  }
  const scale = Math.min(1, room / FRAME[1]);
  frame.style.width = `${figure.clientWidth / scale}px`;
  frame.style.height = `${room / scale}px`;
  frame.style.transform = `scale(${scale})`;
}

Reveal.on("ready", ({ currentSlide }) => fit(currentSlide));
Reveal.on("slidechanged", ({ currentSlide }) => fit(currentSlide));
