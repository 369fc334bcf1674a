// Scores of all pairs as three histograms, with every sample's own score as a tick below.

const GROUPS = ["congruent", "same class", "other class"];
const SHORT_NAMES = { congruent: "matching", "same class": "same class", "other class": "other" };
const GROUP_NAMES = { congruent: "matching pairs", "same class": "same class", "other class": "other class" };

function drawHistograms(surface, content, shares, bins, means, name) {
  const { theme, scale: k } = surface;
  const count = shares.shape[1];
  const [low, high] = content.limits?.x ?? bins;
  let top = content.limits?.y ?? 0;
  if (!top) for (const share of shares) top = Math.max(top, 100 * share);
  const axes = new Axes(surface, { left: 46, bottom: 56, top: 26, x: [low, high], y: [0, top * 1.06 || 1] });
  content.axes = axes;
  axes.draw({ x: name, y: "share of pairs, %", xTicks: [] });
  for (const tick of ticks([low, high], (axes.right - axes.left) / (70 * k))) {
    surface.words(short(tick), axes.x(tick), axes.bottom + 20 * k, { align: "center", base: "top" });
  }
  const c = surface.context;
  surface.type();
  const wide = Object.values(GROUP_NAMES).reduce((sum, text) => sum + 30 * k + c.measureText(text).width, 0);
  const names = axes.left + wide > surface.width ? SHORT_NAMES : GROUP_NAMES;
  let across = axes.left;
  GROUPS.forEach((group, place) => {
    const colour = theme.groups[group];
    const width = (bins[1] - bins[0]) / count;
    const points = [[axes.x(bins[0]), axes.bottom]];
    for (let i = 0; i < count; i += 1) {
      const height = axes.y(100 * shares[place * count + i]);
      points.push([axes.x(bins[0] + i * width), height], [axes.x(bins[0] + (i + 1) * width), height]);
    }
    points.push([axes.x(bins[1]), axes.bottom]);
    c.beginPath();
    points.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)));
    c.globalAlpha = 0.22;
    c.fillStyle = colour;
    c.fill();
    c.globalAlpha = 1;
    surface.line(points, colour, 1.8 * k);
    if (Number.isFinite(means[group] ?? Number.NaN)) {
      const x = axes.x(means[group]);
      surface.line([[x, axes.top], [x, axes.bottom]], colour, 1.6 * k, [5, 4]);
    }
    c.fillStyle = colour;
    c.fillRect(across, 8 * k, 12 * k, 8 * k);
    surface.words(names[group], across + 16 * k, 12 * k, { base: "middle" });
    across += 30 * k + c.measureText(names[group]).width;
  });
}

/** The score of a pair: 8 bits between the least and the greatest of the frame. */
export function scoreOf(frame, [teacher, student]) {
  return frame.low + (frame.arrays.scores[teacher * frame.n + student] / 255) * (frame.high - frame.low);
}

export const scores = {
  brush: "range",

  draw(surface, content) {
    const { frame } = content;
    const { theme, scale: k } = surface;
    const name = frame.critic ? "critic's score φ(teacher, student)" : "cosine of the pair";
    drawHistograms(surface, content, frame.arrays.shares, frame.bins, frame.means, name);
    const { axes } = content;
    const c = surface.context;
    c.fillStyle = theme.groups.congruent;
    c.globalAlpha = 0.5;
    for (const own of frame.arrays.own) if (Number.isFinite(own)) c.fillRect(axes.x(own) - 1.5, axes.bottom + 3 * k, 3, 12 * k);
    c.globalAlpha = 1;
    c.fillStyle = theme.ink;
    const { hover } = content;
    const marked = [...content.selected, ...(hover?.pair ? [] : hover?.samples ?? [])].filter((sample) => sample < frame.n).map((sample) => frame.arrays.own[sample]);
    if (hover?.pair) marked.push(scoreOf(frame, hover.pair));
    for (const score of marked) {
      const x = axes.x(score);
      c.fillRect(x - 1.5, axes.bottom + 2 * k, 3, 14 * k);
      c.beginPath();
      c.moveTo(x, axes.bottom);
      c.lineTo(x - 5 * k, axes.bottom - 10 * k);
      c.lineTo(x + 5 * k, axes.bottom - 10 * k);
      c.fill();
    }
  },

  hit(content, x, y) {
    const { axes, frame } = content;
    if (!axes || y < axes.bottom - 4 || y > axes.bottom + 20 * content.scale) return null;
    let best = -1;
    let gap = 8;
    frame.arrays.own.forEach((own, sample) => {
      const apart = Math.abs(axes.x(own) - x);
      if (apart < gap) [best, gap] = [sample, apart];
    });
    if (best < 0) return null;
    const label = content.run.className(content.run.labels[best], true);
    return { samples: [best], text: `sample ${best} (class ${label}): its own score is ${shown(frame.arrays.own[best])}` };
  },

  brushed(content, from, to) {
    const [low, high] = [from.x, to.x].map((x) => content.axes.valueAt(x)).sort((a, b) => a - b);
    return [...content.frame.arrays.own.keys()].filter((i) => content.frame.arrays.own[i] >= low && content.frame.arrays.own[i] <= high);
  },
};

export const cosines = {
  draw(surface, content) {
    const { frame } = content;
    drawHistograms(surface, content, frame.arrays.cosines, [-1, 1], frame.cosine_means, "cosine of the pair");
  },
};
