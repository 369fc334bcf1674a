// Curves of every arm over the epochs: accuracy, a loss, a measure. The arm shown is thick.

const MOST = 800; // points of a curve that are drawn

function spanOf(metric, curves, names) {
  if (metric.top !== null && metric.top !== undefined) return [0, metric.top];
  let [low, high] = [Infinity, -Infinity];
  for (const name of names) {
    for (const value of curves.get(name)?.values ?? []) {
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) return [0, 1];
  if (metric.floor && low >= 0) low = 0;
  const room = 0.05 * (high - low || Math.abs(high) || 1);
  return [low === 0 ? 0 : low - room, high + room];
}

/** Return where each curve stands, and which way it goes over its last tenth. */
export function standing(values) {
  const known = values.filter(Number.isFinite);
  if (!known.length) return null;
  const now = known.at(-1);
  const before = known[Math.max(known.length - 1 - Math.max(Math.floor(known.length / 10), 1), 0)];
  const span = Math.max(Math.max(...known) - Math.min(...known), 1e-12);
  return { now, way: Math.abs(now - before) < 0.02 * span ? "no longer changes" : now > before ? "is rising" : "is falling" };
}

function legend(surface, arms, colourOf, bold) {
  const k = surface.scale;
  let [x, y] = [46 * k, 10 * k];
  for (const { name, label } of arms) {
    surface.type(name === bold ? "600" : "");
    const width = 22 * k + surface.context.measureText(label).width;
    if (x > 46 * k && x + width > surface.width - 6 * k) [x, y] = [46 * k, y + 17 * k];
    surface.line([[x, y], [x + 14 * k, y]], colourOf(name), (name === bold ? 4 : 2.4) * k);
    surface.words(label, x + 18 * k, y, { base: "middle", bold: name === bold });
    x += width + 10 * k;
  }
  return y + 12 * k;
}

export const curves = {
  /** `content.lines`: [{name, label, colours, curve}], `content.bold`, `content.metric`, `content.epoch`, `content.last`. */
  draw(surface, content) {
    const { theme, scale: k } = surface;
    const dark = isDark(theme) ? 1 : 0;
    const shownLines = content.lines.filter(({ curve }) => curve?.values.length);
    const colourOf = (name) => content.lines.find((line) => line.name === name).colours[dark];
    const top = legend(surface, shownLines, colourOf, content.bold) / k;
    const table = new Map(shownLines.map(({ name, curve }) => [name, curve]));
    const y = spanOf(content.metric, table, table.keys());
    const axes = new Axes(surface, { left: 50, bottom: 40, top, x: [0, content.last || 1], y });
    content.axes = axes;
    surface.type();
    const { label, short: brief = label } = content.metric;
    axes.draw({ x: "epoch", y: surface.context.measureText(label).width > axes.bottom - axes.top + 20 * k ? brief : label });
    if (!shownLines.length) {
      surface.words("not measured in this run", surface.width / 2, surface.height / 2, { align: "center" });
      return;
    }
    if (content.epoch !== null) {
      const x = axes.x(content.epoch);
      surface.line([[x, axes.top], [x, axes.bottom]], theme.ink, 1.5);
    }
    for (const { name, colours, curve } of [...shownLines].sort((a, b) => (a.name === content.bold) - (b.name === content.bold))) {
      const stride = Math.max(1, Math.ceil(curve.values.length / MOST));
      const points = [];
      for (let i = 0; i < curve.values.length; i += 1) {
        if (i % stride && i !== curve.values.length - 1) continue;
        if (Number.isFinite(curve.values[i])) points.push([axes.x(curve.epochs[i]), axes.y(curve.values[i])]);
      }
      surface.line(points, colours[dark], (name === content.bold ? 3.6 : 1.8) * k);
    }
    if (content.hover) surface.line([[content.hover.x, axes.top], [content.hover.x, axes.bottom]], theme.ink, 0.8, [3, 3]);
  },

  hit(content, x, y) {
    const { axes } = content;
    if (!axes || x < axes.left || x > axes.right || y < axes.top || y > axes.bottom) return null;
    const epoch = axes.valueAt(x);
    const values = content.lines.filter(({ curve }) => curve?.values.length).map(({ label, curve }) => {
      let place = curve.epochs.findIndex((e) => e > epoch);
      place = place < 0 ? curve.epochs.length - 1 : Math.max(place - 1, 0);
      return `${label} ${shown(curve.values[place], content.metric.form)}`;
    });
    return { x, samples: [], text: `epoch ${epoch.toFixed(1)}: ${values.join(", ")}` };
  },

  words(content) {
    const last = content.lines.map(({ label, curve }) => [label, standing(curve?.values ?? [])]).filter(([, s]) => s);
    if (!last.length) return `${content.metric.label}: no values yet.`;
    return `${content.metric.label}, latest: ${last.map(([name, { now }]) => `${name} ${shown(now, content.metric.form)}`).join(", ")}.`;
  },
};
