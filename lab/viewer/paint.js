// Painting on a canvas: sizes in device pixels, themes, axes, words, number formats.

const FONT = 13; // CSS pixels of the smallest type

/** Return colours that fit the page behind an element: "light" or "dark". */
export function themeOf(element) {
  for (let at = element; at; at = at.parentNode ?? at.host) {
    if (!(at instanceof Element)) continue;
    const [r, g, b, a = 1] = (getComputedStyle(at).backgroundColor.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
    if (a > 0.5) return LAB.palette.themes[0.3 * r + 0.6 * g + 0.1 * b < 110 ? "dark" : "light"];
  }
  return LAB.palette.themes[matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"];
}

export function isDark(theme) {
  return theme === LAB.palette.themes.dark;
}

export function classColour(label, theme) {
  return theme.classes[label % theme.classes.length];
}

/** A canvas that is drawn on in CSS pixels, whatever the device's are. */
export class Surface {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  /** Fit the canvas to its box; return whether there is anything to draw on. */
  begin(theme, scale = 1) {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const family = this.family ?? getComputedStyle(this.canvas).fontFamily;
    Object.assign(this, { width: clientWidth, height: clientHeight, ratio, theme, scale, family });
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, clientWidth, clientHeight);
    this.context.globalAlpha = 1;
    this.context.setLineDash([]);
    return clientWidth > 40 && clientHeight > 40;
  }

  type(weight = "") {
    this.context.font = `${weight} ${FONT * this.scale}px ${this.family}`;
  }

  words(text, x, y, { align = "left", base = "alphabetic", turn = 0, colour, halo = false, bold = false } = {}) {
    const c = this.context;
    this.type(bold ? "600" : "");
    c.save();
    c.translate(x, y);
    c.rotate(turn);
    c.textAlign = align;
    c.textBaseline = base;
    if (halo) {
      c.strokeStyle = this.theme.paper;
      c.lineWidth = 4;
      c.lineJoin = "round";
      c.strokeText(text, 0, 0);
    }
    c.fillStyle = colour ?? this.theme.ink;
    c.fillText(text, 0, 0);
    c.restore();
  }

  line(points, colour, width = 1, dash = []) {
    const c = this.context;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    let pen = false;
    for (const [x, y] of points) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) {
        pen = false;
        continue;
      }
      if (pen) c.lineTo(x, y);
      else c.moveTo(x, y);
      pen = true;
    }
    c.stroke();
    c.setLineDash([]);
  }
}

/** Two axes around a box: places from numbers and back, grid lines, names. */
export class Axes {
  constructor(surface, { left = 46, right = 10, top = 8, bottom = 40, x, y }) {
    const k = surface.scale;
    Object.assign(this, { surface, left: left * k, top: top * k });
    this.right = surface.width - right * k;
    this.bottom = surface.height - bottom * k;
    this.spans = { x, y };
  }

  x(value) {
    const [low, high] = this.spans.x;
    return this.left + ((value - low) / (high - low)) * (this.right - this.left);
  }

  y(value) {
    const [low, high] = this.spans.y;
    return this.bottom - ((value - low) / (high - low)) * (this.bottom - this.top);
  }

  valueAt(px) {
    const [low, high] = this.spans.x;
    return low + ((px - this.left) / (this.right - this.left)) * (high - low);
  }

  draw({ x, y, xTicks, yTicks } = {}) {
    const s = this.surface;
    const k = s.scale;
    for (const tick of yTicks ?? ticks(this.spans.y, Math.max(2, (this.bottom - this.top) / (48 * k)))) {
      s.line([[this.left, this.y(tick)], [this.right, this.y(tick)]], s.theme.faint, 0.6);
      s.words(short(tick), this.left - 6 * k, this.y(tick), { align: "right", base: "middle" });
    }
    for (const tick of xTicks ?? ticks(this.spans.x, Math.max(2, (this.right - this.left) / (80 * k)))) {
      s.words(short(tick), this.x(tick), this.bottom + 6 * k, { align: "center", base: "top" });
    }
    s.line([[this.left, this.bottom], [this.right, this.bottom]], s.theme.faint, 1);
    if (x) s.words(x, (this.left + this.right) / 2, s.height - 3 * k, { align: "center", base: "bottom" });
    if (y) s.words(y, 12 * k, (this.top + this.bottom) / 2, { align: "center", base: "middle", turn: -Math.PI / 2 });
  }
}

/** Return round numbers within a span, about `count` of them. */
export function ticks([low, high], count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].find((m) => m * power >= raw) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
  return found;
}

export function short(value) {
  return Number(value.toPrecision(6)).toString().replace("-", "−");
}

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** Return a number for people: a dash where there is none, powers of ten where it is tiny or huge. */
export function shown(value, form = "2f") {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && !(Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4)) {
    const [digits, power] = value.toExponential(1).split("e");
    return `${digits}·10${[...power.replace("+", "")].map((c) => RAISED[c]).join("")}`.replace("-", "−");
  }
  const text = form === "g" ? String(Number(value.toPrecision(6))) : value.toFixed(Number.parseInt(form, 10));
  return text.replace("-", "−");
}

export function percent(share) {
  return share >= 0.0995 || share === 0 ? `${Math.round(100 * share)} %` : `${(100 * share).toFixed(1)} %`;
}

/** Return a table of 256 colours (r, g, b) along a ramp of "#rrggbb" stops. */
export function rampOf(stops) {
  const colours = stops.map((stop) => [1, 3, 5].map((k) => Number.parseInt(stop.slice(k, k + 2), 16)));
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i += 1) {
    const place = (i / 255) * (colours.length - 1);
    const k = Math.min(Math.floor(place), colours.length - 2);
    for (let c = 0; c < 3; c += 1) {
      table[3 * i + c] = colours[k][c] + (place - k) * (colours[k + 1][c] - colours[k][c]);
    }
  }
  return table;
}

/** A square of cells painted once and then drawn at any size without blur. */
export class Cells {
  constructor() {
    this.canvas = document.createElement("canvas");
  }

  paint(columns, rows, colourOf) {
    this.canvas.width = columns;
    this.canvas.height = rows;
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    for (let i = 0; i < columns * rows; i += 1) {
      colourOf(i, image.data, 4 * i);
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  draw(surface, x, y, width, height) {
    surface.context.imageSmoothingEnabled = false;
    surface.context.drawImage(this.canvas, x, y, width, height);
  }
}

/** Make an element: `make("button", {class: "x", onclick}, "text", child)`. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
