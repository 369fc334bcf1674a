// Entropic transport in float64: costs of two clouds, and the updates of wcord.transport.sinkhorn.
//
//     P_ij = exp((f_i + g_j - C_ij) / ε)
//     f_i <- ε log a_i - ε log Σ_j exp((g_j - C_ij) / ε)
//     g_j <- ε log b_j - ε log Σ_i exp((f_i - C_ij) / ε)      from g = 0; a and b are uniform
//
// The potentials are kept as logarithms. Between two checks they are absorbed into a kernel
// K = exp((f + g - C) / ε), and an update is a product with it. Updates do not expand the sup norm
// of log u and log v, so the first one after an absorption says how many may follow before a
// scaling can leave the range of a float64 (Schmitzer 2019).

const LARGEST_LOG = 300; // of a scaling between two absorptions
const SLICE_WORK = 2e6; // products between two readings of the clock

/** Squares of distances, as one array; `x` and `y` hold `d` coordinates a point. */
function squaredDistances(x, y, d) {
  const [n, m] = [x.length / d, y.length / d];
  const found = new Float64Array(n * m);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < m; j += 1) {
      let sum = 0;
      for (let k = 0; k < d; k += 1) sum += (x[i * d + k] - y[j * d + k]) ** 2;
      found[i * m + j] = sum;
    }
  }
  return found;
}

function unitVectors(x, d) {
  const found = new Float64Array(x.length);
  for (let i = 0; i < x.length; i += d) {
    let sum = 0;
    for (let k = 0; k < d; k += 1) sum += x[i + k] ** 2;
    const length = Math.max(Math.sqrt(sum), 1e-12);
    for (let k = 0; k < d; k += 1) found[i + k] = x[i + k] / length;
  }
  return found;
}

function oneLessCosine(x, y, d) {
  const [n, m] = [x.length / d, y.length / d];
  const [from, to] = [unitVectors(x, d), unitVectors(y, d)];
  const found = new Float64Array(n * m);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < m; j += 1) {
      let sum = 0;
      for (let k = 0; k < d; k += 1) sum += from[i * d + k] * to[j * d + k];
      found[i * m + j] = Math.min(Math.max(1 - sum, 0), 2);
    }
  }
  return found;
}

/** Return the cost (n × m, row by row) of moving mass between points of `d` coordinates. */
export function costOf(name, x, y, d) {
  if (name === "1 − cosine") return oneLessCosine(x, y, d);
  const squares = squaredDistances(x, y, d);
  return name === "distance" ? squares.map(Math.sqrt) : squares;
}

/** One problem that is solved update by update, so that a page can draw in between. */
export class Sinkhorn {
  constructor(cost, n, m, epsilon) {
    Object.assign(this, { cost, n, m, epsilon, done: 0, left: 0 });
    [this.f, this.u, this.least] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
    [this.g, this.v, this.leastOfColumns] = [new Float64Array(m), new Float64Array(m), new Float64Array(m)];
    this.kernel = new Float64Array(n * m);
    this.logKernel = new Float64Array(n * m);
    this.reduce();
  }

  /** Subtract the least entry of every row, then of every column: the kernel begins with a 1 in each. */
  reduce() {
    const { cost, n, m, least, leastOfColumns, logKernel, epsilon } = this;
    leastOfColumns.fill(Infinity);
    for (let i = 0; i < n; i += 1) {
      let low = Infinity;
      for (let j = 0; j < m; j += 1) low = Math.min(low, cost[i * m + j]);
      least[i] = low;
      for (let j = 0; j < m; j += 1) leastOfColumns[j] = Math.min(leastOfColumns[j], cost[i * m + j] - low);
    }
    for (let i = 0; i < n; i += 1) {
      for (let j = 0; j < m; j += 1) logKernel[i * m + j] = (least[i] + leastOfColumns[j] - cost[i * m + j]) / epsilon;
    }
  }

  /** Make updates until `iterations` are done or `until` (milliseconds of performance.now) has
   *  passed; return whether all are done. At least one slice is made. */
  run(iterations, until = Infinity) {
    const slice = Math.max(1, Math.floor(SLICE_WORK / (this.n * this.m)));
    while (this.done < iterations) {
      if (!this.left) this.absorb();
      const count = Math.min(this.left, iterations - this.done, slice);
      for (let k = 0; k < count; k += 1) this.update();
      this.left -= count;
      this.done += count;
      if (this.done < iterations && performance.now() > until) return false;
    }
    return true;
  }

  /** Take the scalings into the kernel, make one update, and count those that may follow. */
  absorb() {
    const { n, m, f, g, u, v, kernel, logKernel } = this;
    const first = this.done === 0;
    if (!first) {
      for (let i = 0; i < n; i += 1) f[i] += Math.log(u[i]);
      for (let j = 0; j < m; j += 1) g[j] += Math.log(v[j]);
    }
    for (let i = 0, at = 0; i < n; i += 1) {
      for (let j = 0; j < m; j += 1, at += 1) kernel[at] = Math.exp(logKernel[at] + f[i] + g[j]);
    }
    // From g = 0, after the reduction.
    for (let j = 0; j < m; j += 1) v[j] = first ? Math.exp(-this.leastOfColumns[j] / this.epsilon) : 1;
    this.update();
    this.done += 1;
    let change = 1e-3;
    for (const scaling of u) change = Math.max(change, Math.abs(Math.log(scaling)));
    for (const scaling of v) change = Math.max(change, Math.abs(Math.log(scaling)));
    this.left = first ? 0 : Math.max(0, Math.floor(LARGEST_LOG / change) - 1);
  }

  /** u = a / K v, then v = b / Kᵀ u. */
  update() {
    const { n, m, u, v, kernel } = this;
    const sums = (this.sums ??= new Float64Array(m));
    sums.fill(0);
    for (let i = 0, row = 0; i < n; i += 1, row += m) {
      let [one, two, three, four, j] = [0, 0, 0, 0, 0]; // four sums at a time are faster than one
      for (; j + 3 < m; j += 4) {
        one += kernel[row + j] * v[j];
        two += kernel[row + j + 1] * v[j + 1];
        three += kernel[row + j + 2] * v[j + 2];
        four += kernel[row + j + 3] * v[j + 3];
      }
      for (; j < m; j += 1) one += kernel[row + j] * v[j];
      const scaling = 1 / (n * (one + two + three + four));
      u[i] = scaling;
      for (j = 0; j < m; j += 1) sums[j] += kernel[row + j] * scaling;
    }
    for (let j = 0; j < m; j += 1) v[j] = 1 / (m * sums[j]);
  }

  /** The plan after the updates made so far, with what is measured of it. */
  result() {
    const { n, m, u, v, kernel, cost, epsilon } = this;
    const plan = new Float64Array(n * m);
    const f = this.f.map((known, i) => epsilon * (known + Math.log(u[i])) + this.least[i]);
    const g = this.g.map((known, j) => epsilon * (known + Math.log(v[j])) + this.leastOfColumns[j]);
    let [value, entropy, error] = [0, 0, 0];
    for (let i = 0, at = 0; i < n; i += 1) {
      let row = 0;
      for (let j = 0; j < m; j += 1, at += 1) {
        const mass = kernel[at] * u[i] * v[j];
        plan[at] = mass;
        row += mass;
        value += mass * cost[at];
        if (mass > 0) entropy -= mass * Math.log(mass);
      }
      error += Math.abs(row - 1 / n);
    }
    return { plan, f, g, n, m, value, entropy, error, objective: meanOf(f) + meanOf(g), iterations: this.done };
  }
}

export function meanOf(values) {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Solve entropic transport at a cost (n × m) by exactly `iterations` updates of rows and columns. */
export function sinkhorn(cost, n, m, epsilon, iterations) {
  const problem = new Sinkhorn(cost, n, m, epsilon);
  problem.run(iterations);
  return problem.result();
}
