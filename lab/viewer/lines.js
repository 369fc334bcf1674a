// Teacher samples left, student samples right, joined by the heaviest entries of their plan.

const MOST_LINES = 220;

/** Return the heaviest entries of a plan of shares in 8 bits: [row, column, share], heavy last. */
export function heaviest(plan, n, most = MOST_LINES) {
  const counts = new Uint32Array(256);
  for (const shade of plan) counts[shade] += 1;
  let least = 255;
  for (let total = counts[255]; least > 26 && total + counts[least - 1] <= most; ) {
    least -= 1;
    total += counts[least];
  }
  const found = [];
  for (let i = 0; i < plan.length; i += 1) {
    if (plan[i] >= least) found.push([Math.floor(i / n), i % n, (plan[i] / 255) ** 2]);
  }
  found.sort((a, b) => a[2] - b[2]);
  return found.slice(-most);
}

export const lines = {
  glides: true,

  draw(surface, content) {
    const { frame, run } = content;
    const { n } = frame;
    const { theme, scale: k, context: c } = surface;
    const places = run.places(frame);
    const halves = ["teacher", "student"].map((side) => {
      const xs = [];
      const ys = [];
      for (let i = 0; i < n; i += 1) {
        xs.push(places[side][2 * i]);
        ys.push(places[side][2 * i + 1]);
      }
      const middle = (v) => (Math.min(...v) + Math.max(...v)) / 2;
      return { xs, ys, x: middle(xs), y: middle(ys) };
    });
    const reach = Math.max(1, ...halves.flatMap(({ xs, ys, x, y }) => [...xs.map((v) => Math.abs(v - x)), ...ys.map((v) => Math.abs(v - y))]));
    const room = Math.min(surface.width / 4, (surface.height - 30 * k) / 2) - 8 * k;
    const centre = 26 * k + (surface.height - 26 * k) / 2;
    const points = halves.map(({ xs, ys, x, y }, side) => xs.map((_, i) => [
      surface.width * (side ? 0.75 : 0.25) + (room * (xs[i] - x)) / reach,
      centre - (room * (ys[i] - y)) / reach,
    ]));
    content.points = { teacher: points[0].flat(), student: points[1].flat() };
    const only = content.selected.filter((sample) => sample < n);
    for (const [row, column, share] of heaviest(frame.arrays.plan, n)) {
      const same = run.labels[row] === run.labels[column];
      c.globalAlpha = only.length && !only.includes(row) ? 0.06 : 0.25 + 0.6 * share;
      surface.line([points[0][row], points[1][column]], classColour(run.labels[row], surface.theme), (0.8 + 2.2 * share) * k, same ? [] : [5, 4]);
    }
    c.globalAlpha = 1;
    for (let i = 0; i < n; i += 1) {
      const [[tx, ty], [sx, sy]] = [points[0][i], points[1][i]];
      c.strokeStyle = classColour(run.labels[i], surface.theme);
      c.fillStyle = theme.paper;
      c.lineWidth = 1.8 * k;
      c.beginPath();
      c.arc(tx, ty, 4 * k, 0, 7);
      c.fill();
      c.stroke();
      c.fillStyle = c.strokeStyle;
      c.beginPath();
      c.moveTo(sx, sy - 5 * k);
      c.lineTo(sx + 5 * k, sy);
      c.lineTo(sx, sy + 5 * k);
      c.lineTo(sx - 5 * k, sy);
      c.fill();
    }
    c.strokeStyle = theme.ink;
    c.lineWidth = 2 * k;
    for (const sample of [...only, ...(content.hover?.samples ?? [])]) {
      for (const [x, y] of [points[0][sample], points[1][sample]].filter(Boolean)) {
        c.beginPath();
        c.arc(x, y, 8 * k, 0, 7);
        c.stroke();
      }
    }
    sidesLegend(surface, 4 * k, 12 * k);
  },

  hit: (content, x, y) => map.hit(content, x, y),
};
