// Exact transport of uniform masses in float64: successive shortest paths with prices.
//
//     min ⟨P, C⟩,  rows of P sum to 1 / n, columns to 1 / m
//
// In units of 1 / lcm(n, m) all masses are whole numbers. Mass goes out row by row, each time along
// a path of least reduced cost C_ij - f_i - g_j ≥ 0 (Dijkstra), over columns that are full where
// this is cheaper. The prices f, g solve the dual: f_i + g_j ≤ C_ij, equal where mass flows
// (Ahuja, Magnanti and Orlin, Network Flows, 1993, section 9.7).

/** The state of one problem: flow and prices, changed in place. */
class PathProblem {
  constructor(cost, n, m) {
    const shared = greatestDivisor(n, m);
    Object.assign(this, { cost, n, m, shared, flow: new Int32Array(n * m) });
    this.supply = new Int32Array(n).fill(m / shared);
    this.demand = new Int32Array(m).fill(n / shared);
    this.f = Float64Array.from({ length: n }, (_, i) => cost.subarray(i * m, (i + 1) * m).reduce((a, b) => Math.min(a, b), Infinity));
    this.g = new Float64Array(m);
    this.gaps = new Float64Array(m); // length of the shortest path to each column
    this.fromRow = new Int32Array(m); // the row before a column on its path
    this.fromColumn = new Int32Array(n); // the column before a row, -1 at the start
    this.reached = new Float64Array(n); // length of the path to each row, Infinity where there is none
    this.done = new Uint8Array(m);
  }

  /** Shorten paths to columns by the edges of a row. */
  relax(row) {
    const { m, cost, f, g, gaps, done, fromRow } = this;
    for (let j = 0; j < m; j += 1) {
      if (done[j]) continue;
      const length = this.reached[row] + Math.max(cost[row * m + j] - f[row] - g[j], 0);
      if (length < gaps[j]) [gaps[j], fromRow[j]] = [length, row];
    }
  }

  /** Return the nearest column that has room, by paths from a row. */
  nearest(start) {
    const { n, m, flow, demand, gaps, done, reached } = this;
    gaps.fill(Infinity);
    reached.fill(Infinity);
    done.fill(0);
    reached[start] = 0;
    this.fromColumn[start] = -1;
    this.relax(start);
    for (;;) {
      let column = -1;
      for (let j = 0; j < m; j += 1) if (!done[j] && (column < 0 || gaps[j] < gaps[column])) column = j;
      if (demand[column]) return column;
      done[column] = 1;
      for (let i = 0; i < n; i += 1) {
        if (!flow[i * m + column] || reached[i] < Infinity) continue;
        [reached[i], this.fromColumn[i]] = [gaps[column], column];
        this.relax(i);
      }
    }
  }

  /** Raise prices so that the path just found costs nothing. */
  reprice(length) {
    const { n, m, f, g, gaps, done, reached } = this;
    for (let i = 0; i < n; i += 1) if (reached[i] < length) f[i] += length - reached[i];
    for (let j = 0; j < m; j += 1) if (done[j]) g[j] -= length - gaps[j];
  }

  /** Send as much as fits along the path from a row to a column. */
  send(start, end) {
    const { m, flow, supply, demand } = this;
    let most = Math.min(supply[start], demand[end]);
    const edges = [];
    for (let column = end; column >= 0;) {
      const row = this.fromRow[column];
      const before = this.fromColumn[row];
      edges.push([row * m + column, 1]);
      if (before >= 0) {
        edges.push([row * m + before, -1]);
        most = Math.min(most, flow[row * m + before]);
      }
      column = before;
    }
    for (const [edge, sign] of edges) flow[edge] += sign * most;
    supply[start] -= most;
    demand[end] -= most;
  }
}

function greatestDivisor(a, b) {
  return b ? greatestDivisor(b, a % b) : a;
}

/** Return {value, f, g, plan} of exact transport at a cost (n × m, row by row); f has mean 0. */
export function exactTransport(cost, n, m) {
  const problem = new PathProblem(cost, n, m);
  for (let i = 0; i < n; i += 1) {
    while (problem.supply[i]) {
      const end = problem.nearest(i);
      problem.reprice(problem.gaps[end]);
      problem.send(i, end);
    }
  }
  const unit = problem.shared / (n * m);
  const plan = Float64Array.from(problem.flow, (mass) => mass * unit);
  const mean = meanOf(problem.f);
  const value = plan.reduce((sum, mass, at) => sum + mass * cost[at], 0);
  return { value, plan, f: problem.f.map((price) => price - mean), g: problem.g.map((price) => price + mean) };
}
