// The joint map of teacher (circles) and student (diamonds): points glide between two frames.

const RIM = 32767;
const MANY = 12; // classes above which not all are named

/** Return the matrix [a, b, c, d] that turns (or mirrors) points onto others as closely as can be:
 *  the orthogonal Procrustes problem in the plane (Schönemann 1966). Both sets are centred at 0. */
export function turnOnto(points, others) {
  let [xx, xy, yx, yy] = [0, 0, 0, 0];
  for (let i = 0; i < points.length; i += 2) {
    xx += points[i] * others[i];
    xy += points[i] * others[i + 1];
    yx += points[i + 1] * others[i];
    yy += points[i + 1] * others[i + 1];
  }
  const turned = Math.hypot(xx + yy, xy - yx);
  const mirrored = Math.hypot(xx - yy, xy + yx);
  if (turned >= mirrored) return turned ? [(xx + yy) / turned, (xy - yx) / turned, (yx - xy) / turned, (xx + yy) / turned] : [1, 0, 0, 1];
  return [(xx - yy) / mirrored, (xy + yx) / mirrored, (xy + yx) / mirrored, (yy - xx) / mirrored];
}

function turnedOnto(places, reference) {
  if (!reference || reference.teacher.length !== places.teacher.length) return places;
  const [a, b, c, d] = turnOnto(places.teacher, reference.teacher);
  const turned = {};
  for (const side of ["teacher", "student"]) {
    turned[side] = new Float32Array(places[side].length);
    for (let i = 0; i < turned[side].length; i += 2) {
      const [x, y] = [places[side][i], places[side][i + 1]];
      turned[side][i] = a * x + c * y;
      turned[side][i + 1] = b * x + d * y;
    }
  }
  return { ...places, ...turned };
}

/** Return where both sides' points are, in pixels, between a frame and the next. */
function glide(content, surface) {
  const facing = content.facing?.frame ? content.facing.run.places(content.facing.frame) : null;
  const now = turnedOnto(content.run.places(content.frame), facing);
  const then = content.next && content.mix > 0 ? turnedOnto(content.run.places(content.next), facing) : now;
  const mix = then === now || then.step === now.step ? 0 : content.mix;
  const k = surface.scale;
  const room = Math.min(surface.width - 8 * k, surface.height - 34 * k) / 2;
  const middle = [surface.width / 2, 26 * k + (surface.height - 34 * k) / 2];
  const across = Math.max(room, Math.min(surface.width / 2 - 4 * k, 1.25 * room));
  const place = (side) => {
    const [from, to] = [now[side], then[side]];
    const points = new Float32Array(from.length);
    for (let i = 0; i < from.length; i += 2) {
      points[i] = middle[0] + (across * (from[i] + mix * (to[i] - from[i]))) / RIM;
      points[i + 1] = middle[1] - (room * (from[i + 1] + mix * (to[i + 1] - from[i + 1]))) / RIM;
    }
    return points;
  };
  content.method = now.method;
  content.of = now.step;
  return { teacher: place("teacher"), student: place("student") };
}

/** Draw all points of one side, class by class: one path a class is far cheaper than one a point. */
function drawSide(surface, points, samples, size, diamond) {
  const c = surface.context;
  for (const [label, members] of samples) {
    c.fillStyle = classColour(label, surface.theme);
    c.beginPath();
    for (const i of members) {
      const [x, y] = [points[2 * i], points[2 * i + 1]];
      if (diamond) {
        c.moveTo(x, y - size);
        c.lineTo(x + size, y);
        c.lineTo(x, y + size);
        c.lineTo(x - size, y);
      } else {
        c.moveTo(x + size, y);
        c.arc(x, y, size, 0, 7);
      }
    }
    c.fill();
  }
}

function membersOf(run, count) {
  if (run.members?.count !== count) {
    const members = new Map();
    for (let i = 0; i < count; i += 1) {
      if (!members.has(run.labels[i])) members.set(run.labels[i], []);
      members.get(run.labels[i]).push(i);
    }
    run.members = Object.assign(members, { count });
  }
  return run.members;
}

function nameClasses(surface, run, points, members) {
  const kept = [];
  for (const [label, of] of members) {
    const middle = [0, 1].map((axis) => {
      const values = of.map((i) => points[2 * i + axis]).sort((a, b) => a - b);
      return values[values.length >> 1];
    });
    const taken = members.size > MANY && kept.some(([x, y]) => Math.abs(x - middle[0]) < 60 && Math.abs(y - middle[1]) < 16);
    if (taken) continue;
    kept.push(middle);
    surface.words(run.className(label), middle[0], middle[1] - 9 * surface.scale, { align: "center", halo: true, bold: true });
  }
}

export function sidesLegend(surface, x, y) {
  const c = surface.context;
  const k = surface.scale;
  c.fillStyle = surface.theme.ink;
  c.globalAlpha = 0.45;
  c.beginPath();
  c.arc(x + 6 * k, y, 5 * k, 0, 7);
  c.fill();
  c.globalAlpha = 1;
  surface.words("teacher", x + 15 * k, y, { base: "middle" });
  const next = x + 30 * k + c.measureText("teacher").width;
  c.beginPath();
  c.moveTo(next + 6 * k, y - 5 * k);
  c.lineTo(next + 11 * k, y);
  c.lineTo(next + 6 * k, y + 5 * k);
  c.lineTo(next + k, y);
  c.fill();
  surface.words("student", next + 15 * k, y, { base: "middle" });
}

export const map = {
  brush: "box",
  glides: true,

  draw(surface, content) {
    const { run } = content;
    const { theme, scale: k, context: c } = surface;
    const points = glide(content, surface);
    content.points = points;
    const count = points.teacher.length / 2;
    const members = membersOf(run, count);
    const size = (count > 500 ? 3.2 : 4.5) * k;
    c.strokeStyle = theme.faint;
    c.lineWidth = 1;
    c.strokeRect(1, 25 * k, surface.width - 2, surface.height - 26 * k);
    c.save();
    c.beginPath();
    c.rect(1, 25 * k, surface.width - 2, surface.height - 26 * k);
    c.clip();
    c.globalAlpha = isDark(theme) ? 0.6 : 0.5;
    drawSide(surface, points.teacher, members, size, false);
    c.globalAlpha = 0.92;
    drawSide(surface, points.student, members, size * 1.05, true);
    c.globalAlpha = 1;
    const pairs = [...content.selected, ...(content.hover?.pair ? [] : content.hover?.samples ?? [])].map((sample) => [sample, sample]);
    if (content.hover?.pair) pairs.push(content.hover.pair);
    for (const pair of pairs) {
      if (Math.max(...pair) >= count) continue;
      const ends = [points.teacher, points.student].map((side, at) => [side[2 * pair[at]], side[2 * pair[at] + 1]]);
      surface.line(ends, theme.ink, 1.6 * k);
      c.strokeStyle = theme.ink;
      c.lineWidth = 2 * k;
      for (const [x, y] of ends) {
        c.beginPath();
        c.arc(x, y, size + 4 * k, 0, 7);
        c.stroke();
      }
    }
    nameClasses(surface, run, points.teacher, members);
    c.restore();
    sidesLegend(surface, 4 * k, 12 * k);
  },

  hit(content, x, y) {
    let best = null;
    let gap = 12 * content.scale;
    for (const side of ["student", "teacher"]) {
      const points = content.points?.[side] ?? [];
      for (let i = 0; i < points.length; i += 2) {
        const apart = Math.hypot(points[i] - x, points[i + 1] - y);
        if (apart < gap) [best, gap] = [{ sample: i / 2, side }, apart];
      }
    }
    if (!best) return null;
    const label = content.run.className(content.run.labels[best.sample], true);
    return { samples: [best.sample], text: `sample ${best.sample} (class ${label}) as the ${best.side} sees it` };
  },

  brushed(content, from, to) {
    const [left, right] = [from.x, to.x].sort((a, b) => a - b);
    const [top, bottom] = [from.y, to.y].sort((a, b) => a - b);
    const found = new Set();
    for (const points of Object.values(content.points)) {
      for (let i = 0; i < points.length; i += 2) {
        if (points[i] >= left && points[i] <= right && points[i + 1] >= top && points[i + 1] <= bottom) found.add(i / 2);
      }
    }
    return [...found].sort((a, b) => a - b);
  },
};
