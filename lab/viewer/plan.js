// The transport plan as a heat map, and the difference of two plans. Rows and columns by class.

const RAMPS = new Map();

function rampFor(theme, stops) {
  if (!RAMPS.has(stops)) RAMPS.set(stops, rampOf(stops));
  return RAMPS.get(stops);
}

/** The square of a plan in a surface: place and size of its cells. */
function squareOf(surface, run, n) {
  const k = surface.scale;
  const { blocks } = run.order(n);
  const longest = Math.max(...blocks.map(({ label }) => run.className(label).length));
  const left = (40 + (longest > 3 ? 7 * longest : 0)) * k;
  const bottom = (38 + (longest > 3 ? 7 * longest : 0)) * k;
  const legend = 46 * k;
  const side = Math.max(20, Math.min(surface.width - left - legend, surface.height - bottom - 4 * k));
  const x = left + Math.max(0, (surface.width - left - legend - side) / 2);
  return { x, y: 4 * k, side, cell: side / n, n, upright: longest > 3, bottom };
}

/** Draw what all squares share: class lines, class names, axis names, the scale at the right. */
function frameOf(surface, run, square, [top, below], stops) {
  const { x, y, side, cell, n, upright } = square;
  const { theme, scale: k } = surface;
  const { blocks } = run.order(n);
  surface.context.globalAlpha = Math.min(0.45, 5 / blocks.length);
  for (const { start } of blocks.slice(1)) {
    surface.line([[x, y + start * cell], [x + side, y + start * cell]], theme.ink, 0.8);
    surface.line([[x + start * cell, y], [x + start * cell, y + side]], theme.ink, 0.8);
  }
  surface.context.globalAlpha = 1;
  surface.context.strokeStyle = theme.faint;
  surface.context.strokeRect(x, y, side, side);
  let last = -Infinity;
  for (const { label, start, end } of blocks) {
    const middle = ((start + end) / 2) * cell;
    if (middle - last < 15 * k) continue;
    last = middle;
    const name = run.className(label);
    surface.words(name, x - 6 * k, y + middle, { align: "right", base: "middle" });
    surface.words(name, x + middle, y + side + 5 * k, upright
      ? { align: "right", base: "middle", turn: -Math.PI / 2 } : { align: "center", base: "top" });
  }
  const [rows, columns] = square.names ?? ["teacher samples", "student samples"];
  surface.words(rows, x - square.bottom + 12 * k, y + side / 2, { align: "center", base: "middle", turn: -Math.PI / 2 });
  surface.words(columns, x + side / 2, y + side + square.bottom - 3 * k, { align: "center", base: "bottom" });
  const bar = { x: x + side + 14 * k, y: y + side * 0.22, width: 12 * k, height: side * 0.56 };
  const ramp = rampFor(theme, stops);
  for (let i = 0; i < bar.height; i += 1) {
    const at = 3 * Math.round(255 * (1 - i / bar.height));
    surface.context.fillStyle = `rgb(${ramp[at]},${ramp[at + 1]},${ramp[at + 2]})`;
    surface.context.fillRect(bar.x, bar.y + i, bar.width, 1.5);
  }
  surface.context.strokeRect(bar.x, bar.y, bar.width, bar.height);
  surface.words(top, bar.x + bar.width / 2, bar.y - 5 * k, { align: "center", base: "bottom" });
  surface.words(below, bar.x + bar.width / 2, bar.y + bar.height + 5 * k, { align: "center", base: "top" });
}

/** Dim all rows but those of selected samples, and point at them. */
function lightRows(surface, run, square, selected) {
  const { x, y, side, cell, n } = square;
  const { places } = run.order(n);
  const lit = selected.filter((sample) => sample < n).map((sample) => places[sample]).sort((a, b) => a - b);
  if (!lit.length) return;
  const c = surface.context;
  c.fillStyle = surface.theme.paper;
  c.globalAlpha = 0.65;
  let from = 0;
  for (const row of [...lit, n]) {
    if (row > from) c.fillRect(x, y + from * cell, side, (row - from) * cell);
    from = row + 1;
  }
  c.globalAlpha = 1;
  c.fillStyle = surface.theme.ink;
  const k = 5 * surface.scale;
  for (const row of lit) {
    const middle = y + (row + 0.5) * cell;
    c.beginPath();
    c.moveTo(x, middle);
    c.lineTo(x - 2 * k, middle - k);
    c.lineTo(x - 2 * k, middle + k);
    const across = x + (row + 0.5) * cell;
    c.moveTo(across, y + side);
    c.lineTo(across - k, y + side + 2 * k);
    c.lineTo(across + k, y + side + 2 * k);
    c.fill();
  }
}

function crosshair(surface, square, { row, column }) {
  const { x, y, side, cell } = square;
  surface.context.strokeStyle = surface.theme.ink;
  surface.context.lineWidth = 1;
  surface.context.strokeRect(x, y + row * cell, side, cell);
  surface.context.strokeRect(x + column * cell, y, cell, side);
}

function cellAt(content, x, y) {
  const { square } = content;
  if (!square) return null;
  const row = Math.floor((y - square.y) / square.cell);
  const column = Math.floor((x - square.x) / square.cell);
  if (row < 0 || column < 0 || row >= square.n || column >= square.n) return null;
  const { order } = content.run.order(square.n);
  return { row, column, teacher: order[row], student: order[column], samples: [order[row]], pair: [order[row], order[column]] };
}

function shareWords(content, hit, share) {
  const name = (sample) => `${sample} (class ${content.run.className(content.run.labels[sample], true)})`;
  return `teacher sample ${name(hit.teacher)} → student sample ${name(hit.student)}: ${share}`;
}

export const plan = {
  draw(surface, content) {
    const { frame, run } = content;
    const { n } = frame;
    const square = squareOf(surface, run, n);
    content.square = square;
    const ramp = rampFor(surface.theme, surface.theme.ramp);
    const key = `${frame.arm}@${frame.step}@${isDark(surface.theme)}`;
    content.cells ??= new Cells();
    if (content.cells.key !== key || content.cells.of !== frame) {
      const { order } = run.order(n);
      content.cells.paint(n, n, (i, data, at) => {
        const shade = 3 * frame.arrays.plan[order[Math.floor(i / n)] * n + order[i % n]];
        data[at] = ramp[shade];
        data[at + 1] = ramp[shade + 1];
        data[at + 2] = ramp[shade + 2];
      });
      Object.assign(content.cells, { key, of: frame });
    }
    content.cells.draw(surface, square.x, square.y, square.side, square.side);
    frameOf(surface, run, square, ["all", "none"], surface.theme.ramp);
    lightRows(surface, run, square, content.selected);
    if (content.hover) crosshair(surface, square, content.hover);
  },

  hit(content, x, y) {
    const hit = cellAt(content, x, y);
    if (!hit) return null;
    const share = (content.frame.arrays.plan[hit.teacher * content.frame.n + hit.student] / 255) ** 2;
    return { ...hit, text: shareWords(content, hit, `${percent(share)} of its mass`) };
  },
};

/** Plan of side A less plan of side B. */
export const difference = {
  draw(surface, content) {
    const [a, b] = content.frames;
    const { run } = content;
    const n = a.n;
    const square = squareOf(surface, run, n);
    content.square = square;
    const stops = [surface.theme.b, surface.theme.paper, surface.theme.a];
    const ramp = rampFor(surface.theme, (content.stops = content.stops?.[1] === stops[1] ? content.stops : stops));
    content.cells ??= new Cells();
    const { order } = run.order(n);
    let moved = 0;
    content.cells.paint(n, n, (i, data, at) => {
      const cell = order[Math.floor(i / n)] * n + order[i % n];
      const apart = (a.arrays.plan[cell] / 255) ** 2 - (b.arrays.plan[cell] / 255) ** 2;
      moved += Math.abs(apart);
      const shade = 3 * Math.round(127.5 * (1 + Math.sign(apart) * Math.sqrt(Math.abs(apart))));
      data[at] = ramp[shade];
      data[at + 1] = ramp[shade + 1];
      data[at + 2] = ramp[shade + 2];
    });
    content.moved = moved / 2 / n;
    content.cells.draw(surface, square.x, square.y, square.side, square.side);
    frameOf(surface, run, square, ["A", "B"], content.stops);
    lightRows(surface, run, square, content.selected);
    if (content.hover) crosshair(surface, square, content.hover);
  },

  hit(content, x, y) {
    const hit = cellAt(content, x, y);
    if (!hit) return null;
    const cell = hit.teacher * content.frames[0].n + hit.student;
    const [a, b] = content.frames.map((frame) => percent((frame.arrays.plan[cell] / 255) ** 2));
    return { ...hit, text: shareWords(content, hit, `A ${a}, B ${b} of its mass`) };
  },

  words(content) {
    return `Difference of the plans: ${percent(content.moved ?? 0)} of the mass goes elsewhere.`;
  },
};
