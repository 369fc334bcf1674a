// The two clouds of the playground: shapes that are moved, points that are drawn, what is undone.

const CLOUD_NAMES = ["source", "target"];
const MOST_UNDONE = 200;
const MOST_CLOUD_LINES = 300;
const ROOM_AROUND = 1.04; // between the outermost point and the rim

/** Return points scaled by `size`, turned by `turn` degrees, then moved. */
export function movedPoints(points, { right, up, size, turn }) {
  const angle = (turn * Math.PI) / 180;
  const [cos, sin] = [size * Math.cos(angle), size * Math.sin(angle)];
  return points.map(([x, y]) => [cos * x - sin * y + right, sin * x + cos * y + up]);
}

export function roundedPoint([x, y]) {
  const unit = 10 ** LAB.playground.digits;
  return [Math.round(x * unit) / unit, Math.round(y * unit) / unit];
}

export function otherCloud(cloud) {
  return cloud === "source" ? "target" : "source";
}

/** Return half the side of the square that shows all points: 3, or more where they lie outside. */
export function reachOf(clouds) {
  let furthest = 0;
  for (const points of clouds) for (const [x, y] of points) furthest = Math.max(furthest, Math.abs(x), Math.abs(y));
  return furthest > LAB.playground.side ? ROOM_AROUND * furthest : LAB.playground.side;
}

/** Return coordinates as one array: both of a plane, the first of a line. */
export function coordinatesOf(points, flat) {
  return Float64Array.from(flat ? points.map(([x]) => x) : points.flat());
}

/** Return the places of points from left to right. */
export function fromLeft(points) {
  return points.map((_, i) => i).sort((a, b) => points[a][0] - points[b][0] || a - b);
}

/** Return the heaviest entries of a plan, [row, column, share of the row's mass], heavy last, and
 *  the share of the whole mass that they hold. Entries below a hundredth of the heaviest would not
 *  be seen. */
export function heaviestEntries({ plan, n, m }) {
  let [top, total] = [0, 0];
  for (const mass of plan) {
    total += mass;
    if (mass > top) top = mass;
  }
  const found = [];
  for (let at = 0; at < plan.length; at += 1) {
    if (plan[at] > 0.01 * top) found.push([Math.floor(at / m), at % m, n * plan[at]]);
  }
  found.sort((a, b) => a[2] - b[2]);
  const entries = found.slice(-MOST_CLOUD_LINES);
  return { entries, covered: total > 0 ? entries.reduce((sum, [, , share]) => sum + share, 0) / n / total : 0 };
}

/** States that can be gone back to, as JSON. */
export class History {
  constructor() {
    [this.past, this.future] = [[], []];
  }

  /** Remember a state that is about to change. */
  push(state) {
    if (this.past.at(-1) !== state) this.past.push(state);
    if (this.past.length > MOST_UNDONE) this.past.shift();
    this.future = [];
  }

  undo(state) {
    return this.step(this.past, this.future, state);
  }

  redo(state) {
    return this.step(this.future, this.past, state);
  }

  step(from, to, state) {
    while (from.length) {
      const found = from.pop();
      if (found === state) continue; // nothing had changed
      to.push(state);
      return found;
    }
    return null;
  }
}

/** The clouds of a scene with the points that they stand for. */
export class Clouds {
  constructor(scene) {
    this.scene = scene;
    this.history = new History();
    this.shapes = null; // {points, seed, source: {shape: points}, target: {…}}
  }

  /** Take the points of all shapes from a packet. */
  takeShapes(part) {
    this.shapes = { points: part.points, seed: part.seed };
    for (const cloud of CLOUD_NAMES) {
      const [, count] = part.arrays[cloud].shape;
      this.shapes[cloud] = Object.fromEntries(LAB.playground.shapes.map((name, place) => [name, pairsOf(part.arrays[cloud].subarray(2 * count * place, 2 * count * (place + 1)))]));
    }
  }

  /** Whether shapes are here with the number of points and the seed of the scene. */
  get known() {
    return this.shapes?.points === this.scene.points && this.shapes?.seed === this.scene.seed;
  }

  /** Return the points of a cloud; null while its shape is not here. */
  pointsOf(cloud) {
    const spec = this.scene[cloud];
    if (spec.points) return spec.points;
    return this.shapes ? movedPoints(this.shapes[cloud][spec.shape], spec) : null;
  }

  state() {
    const { source, target, points, seed } = this.scene;
    return JSON.stringify({ source, target, points, seed });
  }

  remember() {
    this.history.push(this.state());
  }

  undo() {
    return this.goTo(this.history.undo(this.state()));
  }

  redo() {
    return this.goTo(this.history.redo(this.state()));
  }

  goTo(state) {
    if (state) Object.assign(this.scene, JSON.parse(state));
    return Boolean(state);
  }

  /** Return the points of a cloud to be changed: from now on it is drawn. */
  drawn(cloud) {
    const spec = this.scene[cloud];
    this.scene[cloud] = { points: (spec.points ?? this.pointsOf(cloud)).map(roundedPoint) };
    return this.scene[cloud].points;
  }

  /** Add a point; return its place, or -1 where the cloud is full. */
  add(cloud, point) {
    if (this.pointsOf(cloud).length >= LAB.playground.most) return -1;
    return this.drawn(cloud).push(roundedPoint(point)) - 1;
  }

  /** Remove a point; return whether it is gone: a cloud keeps at least one. */
  remove(cloud, place) {
    if (this.pointsOf(cloud).length < 2) return false;
    this.drawn(cloud).splice(place, 1);
    return true;
  }

  moveTo(cloud, place, point) {
    this.drawn(cloud)[place] = roundedPoint(point);
  }

  /** Move a whole cloud: a shape by its own moves while they reach that far, else its points. */
  shift(cloud, right, up) {
    const spec = this.scene[cloud];
    const { moves, side } = LAB.playground;
    const far = spec.points ? null : { right: spec.right + right, up: spec.up + up };
    if (far && Object.entries(far).every(([move, value]) => value >= moves[move].low && value <= moves[move].high)) {
      const [x, y] = roundedPoint([far.right, far.up]);
      this.scene[cloud] = { ...spec, right: x, up: y };
      return;
    }
    const within = (value) => Math.min(Math.max(value, -2 * side), 2 * side);
    this.scene[cloud] = { points: this.drawn(cloud).map(([x, y]) => roundedPoint([within(x + right), within(y + up)])) };
  }
}

function pairsOf(numbers) {
  const found = [];
  for (let i = 0; i < numbers.length; i += 2) found.push([numbers[i], numbers[i + 1]]);
  return found;
}
