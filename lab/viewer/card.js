// The card of a selected sample: its two images, its neighbours, its rows, its answers over time.

const IMAGE = 84; // CSS pixels of a large image
const SMALL_IMAGE = 38;

/** Return a canvas with one sample's image, or null where there is none. */
export function imageOf(run, side, sample, size) {
  const images = run.images[side];
  if (!images?.sheet?.complete || !images.sheet.naturalWidth || sample >= images.count) return null;
  const canvas = make("canvas", { role: "img", "aria-label": `sample ${sample} as the ${side} sees it` });
  const { width, height, across } = images;
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = size * ratio;
  canvas.height = size * ratio * (height / width);
  canvas.style.width = `${size}px`;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = width > 64;
  context.drawImage(images.sheet, (sample % across) * width, Math.floor(sample / across) * height, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Return the images of a sample, one a side, each with its caption. */
export function bothImages(run, sample, size) {
  const found = ["teacher", "student"].map((side) => [side, imageOf(run, side, sample, size)]);
  return found.filter(([, image]) => image).map(([side, image]) => make("figure", {}, image, make("figcaption", {}, side)));
}

export class Card {
  constructor(body) {
    this.body = body;
    this.head = make("p", { class: "sentence" });
    this.seen = make("div", { class: "seen" });
    this.near = make("div", { class: "near" });
    this.rows = make("canvas", { role: "img" });
    this.time = make("canvas", { role: "img" });
    const figure = (canvas, text) => make("figure", { class: "chart" }, make("figcaption", {}, text), canvas);
    this.body.append(this.head, make("div", { class: "parts" },
      make("div", {}, this.seen, this.near),
      figure(this.rows, "Its rows of plan and scores: its own student in ink, its class in colour"),
      figure(this.time, "The student's answer over time: dashed is its class, filled is right")));
    this.surfaces = [new Surface(this.rows), new Surface(this.time)];
  }

  draw(content) {
    const { run, frame, selected, theme, scale } = content;
    const [sample] = selected;
    const label = run.labels[sample];
    const answer = frame.arrays.answers[sample];
    const verdict = answer === label ? "right" : `not ${run.className(label, true)}`;
    const more = selected.length > 1 ? ` (and ${selected.length - 1} more selected)` : "";
    this.head.textContent = `Sample ${sample}${more} · class ${run.className(label, true)} · ${content.arm} answers ${run.className(answer, true)}, ${verdict}`;
    const images = bothImages(run, sample, IMAGE);
    const pending = !run.images.why && !run.images.teacher;
    this.seen.replaceChildren(...(images.length ? images
      : [make("p", { class: "hint" }, run.images.why ? `No images: ${run.images.why}.` : pending ? "Reading the images…" : "")]));
    this.near.replaceChildren(...this.neighbours(content, sample));
    if (this.surfaces[0].begin(theme, scale)) this.drawRows(this.surfaces[0], content, sample);
    if (this.surfaces[1].begin(theme, scale)) this.drawTime(this.surfaces[1], content, sample);
  }

  neighbours({ run, frame }, sample) {
    if (sample >= frame.n) return [make("p", { class: "hint" }, `It is not among the ${frame.n} samples of plan and scores.`)];
    const count = frame.arrays.near_teacher.shape[1];
    const of = (side) => [...frame.arrays[`near_${side}`].slice(sample * count, (sample + 1) * count)];
    const found = { teacher: of("teacher"), student: of("student") };
    const both = found.teacher.filter((other) => found.student.includes(other));
    return Object.entries(found).map(([side, others]) => make("div", {},
      make("p", { class: "hint" }, `Nearest for the ${side}${side === "student" ? `, ${both.length} of ${count} shared` : ""}`),
      make("div", { class: "thumbs" }, ...others.map((other) => make("figure", { class: both.includes(other) ? "shared" : null },
        imageOf(run, side, other, SMALL_IMAGE) ?? make("b", {}, String(other)),
        make("figcaption", {}, run.className(run.labels[other])))))));
  }

  drawRows(surface, { run, frame }, sample) {
    const { n } = frame;
    if (sample >= n) return;
    const { theme, scale: k, context: c } = surface;
    const { order } = run.order(n);
    const middle = surface.height / 2;
    const bars = (name, values, top, bottom, low, high) => {
      const axes = new Axes(surface, { left: 52, right: 6, x: [0, n], y: [low, high] });
      Object.assign(axes, { top, bottom });
      axes.draw({ y: name, xTicks: [] });
      const zero = axes.y(Math.min(Math.max(0, low), high));
      order.forEach((other, place) => {
        const value = values(other);
        c.fillStyle = other === sample ? theme.ink : run.labels[other] === run.labels[sample] ? classColour(run.labels[sample], theme) : theme.faint;
        const y = axes.y(value);
        c.fillRect(axes.x(place), Math.min(y, zero), Math.max(axes.x(1) - axes.x(0) - 0.4, 1), Math.abs(zero - y));
      });
    };
    const mass = (other) => (frame.arrays.plan[sample * n + other] / 255) ** 2;
    const score = (other) => frame.low + (frame.arrays.scores[sample * n + other] / 255) * (frame.high - frame.low);
    bars("mass", mass, 4 * k, middle - 10 * k, 0, Math.max(0.05, ...order.map(mass)));
    bars(frame.critic ? "score φ" : "cosine", score, middle + 6 * k, surface.height - 20 * k, Math.min(0, frame.low), frame.high);
    surface.words("student samples, by class", surface.width / 2, surface.height - 2, { align: "center", base: "bottom" });
    const inside = order.filter((other) => run.labels[other] === run.labels[sample]).reduce((sum, other) => sum + mass(other), 0);
    this.rows.setAttribute("aria-label", `Of the mass of teacher sample ${sample}, ${percent(inside)} goes to students of its class and ${percent(mass(sample))} to its own; its own score is ${shown(frame.arrays.own[sample])}.`);
  }

  drawTime(surface, { run, arm, frame }, sample) {
    const { theme, scale: k, context: c } = surface;
    const frames = [...(run.frames.get(arm)?.values() ?? [])].sort((a, b) => a.step - b.step);
    const answers = frames.map((one) => one.arrays.answers[sample]);
    const label = run.labels[sample];
    const classes = [...new Set([label, ...answers])].sort((a, b) => a - b);
    const axes = new Axes(surface, { left: 62, right: 10, bottom: 38, top: 8, x: [0, run.about.epochs || 1], y: [-0.6, classes.length - 0.4] });
    axes.draw({ x: "epoch", yTicks: [] });
    classes.forEach((value, place) => surface.words(run.className(value), axes.left - 8 * k, axes.y(place), { align: "right", base: "middle" }));
    const own = axes.y(classes.indexOf(label));
    surface.line([[axes.left, own], [axes.right, own]], theme.ink, 1, [5, 4]);
    frames.forEach((one, i) => {
      c.beginPath();
      c.arc(axes.x(one.epoch), axes.y(classes.indexOf(answers[i])), 4 * k, 0, 7);
      c.fillStyle = answers[i] === label ? classColour(label, theme) : theme.paper;
      c.strokeStyle = classColour(answers[i], theme);
      c.lineWidth = 1.8 * k;
      c.fill();
      c.stroke();
    });
    surface.line([[axes.x(frame.epoch), axes.top], [axes.x(frame.epoch), axes.bottom]], theme.ink, 1.2);
    const right = answers.filter((value) => value === label).length;
    this.time.setAttribute("aria-label", `Answers for sample ${sample}: right at ${right} of ${answers.length} steps.`);
  }
}
