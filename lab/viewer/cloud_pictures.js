// The playground's pictures of two clouds: the plan as lines, as a heat map, and its potentials.

const LINE_LEVELS = [[0.1, 0.9, 0.16], [0.3, 1.5, 0.32], [0.6, 2.2, 0.55], [Infinity, 3, 0.8]]; // share below, width, ink
const ROW_OF = { source: 0.27, target: 0.73 }; // where the clouds of the line are drawn, of the height
const POINT = 5.5; // radius, CSS pixels
const PLAN_EDGES = { left: 40, right: 50, top: 6, bottom: 26 };

/** Places of the plane (or of the line) in a canvas, and back. */
class CloudPlace {
  constructor(surface, reach, flat) {
    const k = surface.scale;
    const [left, bottom] = [28 * k, 22 * k];
    const [width, height] = [surface.width - left - 8 * k, surface.height - bottom - 6 * k];
    Object.assign(this, { reach, flat });
    this.side = flat ? width : Math.min(width, height);
    this.x = left + (width - this.side) / 2;
    this.y = 6 * k + (flat ? 0 : (height - this.side) / 2);
    this.height = flat ? height : this.side;
    this.unit = this.side / (2 * reach);
  }

  at([x, y], cloud) {
    const across = this.x + (x + this.reach) * this.unit;
    return [across, this.flat ? this.y + ROW_OF[cloud] * this.height : this.y + (this.reach - y) * this.unit];
  }

  /** The point at a pixel, held within the picture. */
  pointAt(px, py) {
    const within = (value) => Math.min(Math.max(value, -this.reach), this.reach);
    const across = within((px - this.x) / this.unit - this.reach);
    return [across, this.flat ? 0 : within(this.reach - (py - this.y) / this.unit)];
  }

  holds(px, py) {
    return px >= this.x && px <= this.x + this.side && py >= this.y && py <= this.y + this.height;
  }

  cloudAt(py) {
    return py < this.y + this.height / 2 ? "source" : "target";
  }
}

/** Draw a point of a cloud: a circle of the source, a diamond of the target. */
export function drawCloudPoint(surface, cloud, [x, y], size) {
  const { context: c, theme } = surface;
  c.beginPath();
  if (cloud === "source") c.arc(x, y, size, 0, 7);
  else {
    const r = 1.2 * size;
    c.moveTo(x, y - r);
    c.lineTo(x + r, y);
    c.lineTo(x, y + r);
    c.lineTo(x - r, y);
    c.closePath();
  }
  c.fillStyle = theme[cloud];
  c.strokeStyle = theme.paper;
  c.lineWidth = 1.2;
  c.fill();
  c.stroke();
}

function drawGround(surface, place) {
  const { theme, scale: k, context: c } = surface;
  const { x, y, side, height, reach, flat } = place;
  c.strokeStyle = theme.faint;
  c.lineWidth = 1;
  c.strokeRect(x, y, side, height);
  for (const tick of ticks([-reach, reach], side / (70 * k))) {
    const across = x + (tick + reach) * place.unit;
    const down = y + (reach - tick) * place.unit;
    surface.line([[across, y], [across, y + height]], theme.faint, 0.5);
    surface.words(short(tick), across, y + height + 5 * k, { align: "center", base: "top" });
    if (flat) continue;
    surface.line([[x, down], [x + side, down]], theme.faint, 0.5);
    surface.words(short(tick), x - 5 * k, down, { align: "right", base: "middle" });
  }
  if (!flat) return;
  for (const cloud of CLOUD_NAMES) {
    const row = y + ROW_OF[cloud] * height;
    surface.line([[x, row], [x + side, row]], theme.faint, 1);
    surface.words(cloud, x + 6 * k, row + (cloud === "source" ? -14 : 14) * k, { base: cloud === "source" ? "bottom" : "top" });
  }
}

/** Draw the lines of a plan, those of equal strength as one path. */
function drawPlanLines(surface, ends, entries, ink) {
  const c = surface.context;
  c.strokeStyle = surface.theme.ink;
  c.lineCap = "round";
  let low = 0;
  for (const [below, width, alpha] of LINE_LEVELS) {
    c.beginPath();
    for (const [row, column, share] of entries) {
      if (share < low || share >= below) continue;
      c.moveTo(...ends.source[row]);
      c.lineTo(...ends.target[column]);
    }
    c.globalAlpha = alpha * ink;
    c.lineWidth = width * surface.scale;
    c.stroke();
    low = below;
  }
  c.globalAlpha = 1;
}

/** `content`: clouds, flat, reach, solved (or null), old (whether it is of other points), marked. */
export const cloudsPicture = {
  draw(surface, content) {
    const place = new CloudPlace(surface, content.reach, content.flat);
    const ends = Object.fromEntries(CLOUD_NAMES.map((cloud) => [cloud, content.clouds[cloud].map((point) => place.at(point, cloud))]));
    Object.assign(content, { place, ends });
    drawGround(surface, place);
    const { solved, marked } = content;
    if (solved && solved.n === ends.source.length && solved.m === ends.target.length) {
      const { entries, covered } = heaviestEntries(solved);
      content.covered = covered;
      const own = marked ? entries.filter(([row, column]) => (marked.cloud === "source" ? row : column) === marked.place && (marked.column ?? column) === column) : [];
      drawPlanLines(surface, ends, entries, content.old ? 0.3 : marked ? 0.35 : 1);
      if (!content.old) drawPlanLines(surface, ends, own, 1.2);
    } else content.covered = null;
    const size = POINT * surface.scale * (Math.max(ends.source.length, ends.target.length) > 40 ? 0.85 : 1);
    for (const cloud of CLOUD_NAMES) for (const end of ends[cloud]) drawCloudPoint(surface, cloud, end, size);
    if (marked) this.drawMark(surface, content, size);
  },

  drawMark(surface, { marked, ends, focused }, size) {
    const c = surface.context;
    c.strokeStyle = surface.theme.ink;
    c.lineWidth = (focused ? 2.6 : 1.8) * surface.scale;
    const ring = (end) => {
      if (!end) return;
      c.beginPath();
      c.arc(...end, size + 4.5 * surface.scale, 0, 7);
      c.stroke();
    };
    ring(ends[marked.cloud][marked.place]);
    if (marked.column !== undefined) ring(ends.target[marked.column]);
  },

  /** The point under a pixel, the nearest within `within` pixels. */
  hit(content, x, y, within) {
    let best = null;
    let gap = within;
    for (const cloud of CLOUD_NAMES) {
      content.ends?.[cloud].forEach(([px, py], place) => {
        const apart = Math.hypot(px - x, py - y);
        if (apart < gap) [best, gap] = [{ cloud, place }, apart];
      });
    }
    return best;
  },

  words({ clouds, flat, covered, solved }) {
    const counts = `${clouds.source.length} source points and ${clouds.target.length} target points ${flat ? "on a line" : "in the plane"}`;
    if (!solved || covered === null) return `${counts}; the plan is being computed.`;
    return `${counts}, joined by the heaviest entries of the plan, ${percent(covered)} of its mass. It costs ${shown(solved.value, "4f")}.`;
  },
};

/** The plan between two clouds: rows are source points. `content.orders`: in which order both sides stand. */
export const cloudPlan = {
  draw(surface, content) {
    const { solved, orders } = content;
    const { theme, scale: k, context: c } = surface;
    const edges = PLAN_EDGES;
    const side = Math.max(20, Math.min(surface.width - (edges.left + edges.right) * k, surface.height - (edges.top + edges.bottom) * k));
    const x = edges.left * k + Math.max(0, (surface.width - (edges.left + edges.right) * k - side) / 2);
    const box = { x, y: edges.top * k + Math.max(0, (surface.height - (edges.top + edges.bottom) * k - side) / 2), side };
    content.box = box;
    content.cells ??= new Cells();
    if (solved && (content.painted !== solved || content.paintedFor !== theme.ink)) {
      const { n, m, plan: masses } = solved;
      const table = rampOf(theme.ramp);
      const sums = Array.from({ length: n }, (_, i) => masses.subarray(i * m, (i + 1) * m).reduce((a, b) => a + b, 0));
      content.cells.paint(m, n, (i, data, at) => {
        const row = orders.source[Math.floor(i / m)];
        const share = sums[row] > 0 ? masses[row * m + orders.target[i % m]] / sums[row] : 0;
        const shade = 3 * Math.round(255 * Math.sqrt(Math.min(share, 1)));
        [data[at], data[at + 1], data[at + 2]] = [table[shade], table[shade + 1], table[shade + 2]];
      });
      [content.painted, content.paintedFor] = [solved, theme.ink];
    }
    if (solved) content.cells.draw(surface, box.x, box.y, side, side);
    c.strokeStyle = theme.faint;
    c.lineWidth = 1;
    c.strokeRect(box.x, box.y, side, side);
    if (solved && content.marked) this.drawMark(surface, content);
    surface.words("source points", box.x - 12 * k, box.y + side / 2, { align: "center", base: "middle", turn: -Math.PI / 2 });
    surface.words("target points", box.x + side / 2, box.y + side + 7 * k, { align: "center", base: "top" });
    drawScale(surface, { x: box.x + side + 12 * k, y: box.y + 0.24 * side, height: 0.52 * side }, "all", "none");
  },

  drawMark(surface, { solved, orders, marked, box }) {
    const c = surface.context;
    c.strokeStyle = surface.theme.ink;
    c.lineWidth = 1.4 * surface.scale;
    const [high, wide] = [box.side / solved.n, box.side / solved.m];
    const row = marked.cloud === "source" ? orders.source.indexOf(marked.place) : -1;
    const column = orders.target.indexOf(marked.cloud === "target" ? marked.place : marked.column ?? -1);
    if (row >= 0) c.strokeRect(box.x, box.y + row * high, box.side, high);
    if (column >= 0) c.strokeRect(box.x + column * wide, box.y, wide, box.side);
  },

  hit({ box, solved, orders }, x, y) {
    if (!box || !solved) return null;
    const row = Math.floor(((y - box.y) / box.side) * solved.n);
    const column = Math.floor(((x - box.x) / box.side) * solved.m);
    if (row < 0 || column < 0 || row >= solved.n || column >= solved.m) return null;
    return { cloud: "source", place: orders.source[row], column: orders.target[column] };
  },

  words({ solved, old }) {
    if (!solved || old) return "The plan is being computed.";
    return `The plan, ${solved.n} source points by ${solved.m} target points. Its marginal error is ${shown(solved.error, "1e")}.`;
  },
};

/** Draw a ramp of colours from bottom to top, with a word at each end. */
export function drawScale(surface, { x, y, height }, top, below) {
  const { theme, scale: k, context: c } = surface;
  const table = rampOf(theme.ramp);
  for (let i = 0; i < height; i += 1) {
    const at = 3 * Math.round(255 * (1 - i / height));
    c.fillStyle = `rgb(${table[at]},${table[at + 1]},${table[at + 2]})`;
    c.fillRect(x, y + i, 12 * k, 1.5);
  }
  c.strokeStyle = theme.faint;
  c.strokeRect(x, y, 12 * k, height);
  surface.words(top, x + 6 * k, y - 5 * k, { align: "center", base: "bottom" });
  surface.words(below, x + 6 * k, y + height + 5 * k, { align: "center", base: "top" });
}
