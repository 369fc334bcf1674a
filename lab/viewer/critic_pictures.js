// Functions of the dual form: potentials, a critic that learns, and the distance it has found.

const LEAST_HEIGHT = 1e-6; // between the lowest and the highest point of a critic that is drawn

/** Return a span around numbers with some room on both sides. */
function spanAround(values, room = 0.1) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  const more = room * Math.max(high - low, 1e-6);
  return [low - more, high + more];
}

/** Draw names with their colours in one line at the top; `dash` draws a dashed stroke. */
function drawKey(surface, entries) {
  const { scale: k } = surface;
  surface.type();
  const widths = entries.map(({ name, cloud }) => (cloud ? 28 : 34) * k + surface.context.measureText(name).width);
  let x = Math.max(4 * k, Math.min(52 * k, surface.width - widths.reduce((a, b) => a + b, -10 * k)));
  for (const [place, { name, colour, dash, cloud }] of entries.entries()) {
    if (cloud) drawCloudPoint(surface, cloud, [x + 7 * k, 11 * k], 5 * k);
    else surface.line([[x, 11 * k], [x + 16 * k, 11 * k]], colour, 2.8 * k, dash ?? []);
    surface.words(name, x + (cloud ? 16 : 21) * k, 11 * k, { base: "middle" });
    x += widths[place];
  }
}

/** Potentials over the line as functions, with the exact ones dashed. `content`: clouds, solved, exact. */
export const linePotentials = {
  draw(surface, { clouds, solved, exact }) {
    const { theme, scale: k } = surface;
    const sides = [["source", "f"], ["target", "g"]];
    const xs = sides.flatMap(([cloud]) => clouds[cloud].map(([x]) => x));
    const values = sides.flatMap(([, name]) => [...(solved?.[name] ?? []), ...(exact?.[name] ?? [])]);
    const axes = new Axes(surface, { left: 52, top: 26, bottom: 40, x: spanAround(xs, 0.06), y: spanAround(values, 0.12) });
    axes.draw({ x: "x", y: "potential, units of cost" });
    for (const [cloud, name] of sides) {
      const order = fromLeft(clouds[cloud]);
      const trace = (of) => order.map((i) => [axes.x(clouds[cloud][i][0]), axes.y(of[i])]);
      if (exact?.[name].length === order.length) surface.line(trace(exact[name]), theme[cloud], 1.6 * k, [5, 4]);
      if (solved?.[name].length !== order.length) continue;
      surface.line(trace(solved[name]), theme[cloud], 2.6 * k);
      for (const end of trace(solved[name])) drawCloudPoint(surface, cloud, end, 4 * k);
    }
    drawKey(surface, [{ name: "f", cloud: "source" }, { name: "g", cloud: "target" }, ...(exact ? [{ name: "exact", colour: theme.ink, dash: [5, 4] }] : [])]);
  },

  words({ solved, old }) {
    if (!solved || old) return "The potentials are being computed.";
    return `Potentials over the line: f from ${shown(Math.min(...solved.f))} to ${shown(Math.max(...solved.f))}, g from ${shown(Math.min(...solved.g))} to ${shown(Math.max(...solved.g))}.`;
  },
};

/** Potentials of the solver against exact ones: equal ones lie on the diagonal. */
export const planePotentials = {
  draw(surface, { solved, exact, sides }) {
    const { theme, scale: k } = surface;
    if (!solved || !exact || solved.f.length !== exact.f.length || solved.g.length !== exact.g.length) {
      surface.words("…", surface.width / 2, surface.height / 2, { align: "center" });
      return;
    }
    const all = [solved.f, solved.g, exact.f, exact.g].flatMap((values) => [...values]);
    const reach = 1.08 * Math.max(0.1, ...all.filter(Number.isFinite).map(Math.abs));
    const axes = new Axes(surface, { left: 52, top: 26, bottom: 40, x: [-reach, reach], y: [-reach, reach] });
    axes.draw({ x: "exact potential", y: "potential of the solver", xTicks: ticks(axes.spans.x, (axes.right - axes.left) / (58 * k)) });
    surface.line([[axes.left, axes.bottom], [axes.right, axes.top]], theme.ink, 1.3 * k, [5, 4]);
    for (const [cloud, name] of [["source", "f"], ["target", "g"]]) {
      solved[name].forEach((value, i) => drawCloudPoint(surface, cloud, [axes.x(exact[name][i]), axes.y(value)], 4.6 * k));
    }
    drawKey(surface, [{ name: `f, ${sides[0]}`, cloud: "source" }, { name: `g, ${sides[1]}`, cloud: "target" }]);
  },

  words({ solved, exact, old }) {
    if (!solved || !exact || old) return "The exact potentials are being computed.";
    const apart = Math.max(...[...solved.f].map((value, i) => Math.abs(value - exact.f[i])), ...[...solved.g].map((value, i) => Math.abs(value - exact.g[i])));
    return `Potentials of the solver against exact ones. The furthest is ${shown(apart, "3f")} off the diagonal.`;
  },
};

/** A critic over the line beside the best one, with guides of slope ±1. `content.critic`: a packet's part. */
export const lineCritic = {
  draw(surface, { critic, clouds }) {
    const { theme, scale: k, context: c } = surface;
    const { line, guides } = critic.arrays;
    const column = (of) => Array.from({ length: line.length / 3 }, (_, i) => line[3 * i + of]);
    const [across, learnt, best] = [0, 1, 2].map(column);
    const [low, high] = spanAround([...(critic.heights ?? learnt), ...best], 0.1);
    const axes = new Axes(surface, { left: 52, top: 26, bottom: 40, x: [across[0], across.at(-1)], y: [low - 0.16 * (high - low), high] });
    axes.draw({ x: "x", y: "φ(x)" });
    const trace = (values) => values.map((value, i) => [axes.x(across[i]), axes.y(value)]);
    surface.line(trace(best), LAB.palette.distances.exact, 2.4 * k);
    surface.line(trace(learnt), theme.ink, 2.8 * k);
    for (let i = 0; i < guides.length; i += 3) {
      const [x, y, slope] = guides.subarray(i, i + 3);
      surface.line([-0.6, 0.6].map((step) => [axes.x(x + step), axes.y(y + step * slope)]), theme.a, 2.2 * k, [6, 4]);
    }
    CLOUD_NAMES.forEach((cloud, row) => {
      c.globalAlpha = 0.8;
      for (const [x] of clouds[cloud]) drawCloudPoint(surface, cloud, [axes.x(x), axes.bottom - (9 + 12 * (1 - row)) * k], 4 * k);
    });
    c.globalAlpha = 1;
    drawKey(surface, [{ name: "critic φ", colour: theme.ink }, { name: "best critic", colour: LAB.palette.distances.exact }, { name: "slope ±1", colour: theme.a, dash: [6, 4] }]);
  },

  words: () => "The critic over the line beside the best critic, with guides of slope ±1.",
};

/** A critic's height over the plane, with the clouds. */
export const planeCritic = {
  draw(surface, content) {
    const { critic, clouds } = content;
    const { theme, scale: k, context: c } = surface;
    const field = critic.arrays.landscape;
    const cells = field.shape[0];
    const [low, high] = spanAround(field, 0);
    const span = high - low > LEAST_HEIGHT ? high - low : Infinity; // a flat critic has one shade
    const place = new CloudPlace({ width: surface.width - 50 * k, height: surface.height, scale: k }, critic.reach, false);
    content.cells ??= new Cells();
    const table = rampOf(theme.ramp);
    content.cells.paint(cells, cells, (i, data, at) => {
      const row = cells - 1 - Math.floor(i / cells); // the lowest row comes first
      const shade = 3 * Math.round((255 * (field[row * cells + (i % cells)] - low)) / span);
      [data[at], data[at + 1], data[at + 2]] = [table[shade], table[shade + 1], table[shade + 2]];
    });
    content.cells.draw(surface, place.x, place.y, place.side, place.side);
    for (const cloud of CLOUD_NAMES) for (const point of clouds[cloud]) drawCloudPoint(surface, cloud, place.at(point, cloud), 4.6 * k);
    c.strokeStyle = theme.faint;
    c.lineWidth = 1;
    c.strokeRect(place.x, place.y, place.side, place.side);
    for (const tick of ticks([-critic.reach, critic.reach], place.side / (70 * k))) {
      surface.words(short(tick), place.x + (tick + critic.reach) * place.unit, place.y + place.side + 5 * k, { align: "center", base: "top" });
      surface.words(short(tick), place.x - 5 * k, place.y + (critic.reach - tick) * place.unit, { align: "right", base: "middle" });
    }
    drawScale(surface, { x: place.x + place.side + 14 * k, y: place.y + 0.24 * place.side, height: 0.52 * place.side }, figureOf(high, "1f"), figureOf(low, "1f"));
  },

  words({ critic }) {
    const [low, high] = spanAround(critic.arrays.landscape, 0);
    return `The critic's height over the plane, from ${shown(low)} to ${shown(high)}.`;
  },
};

/** Raw value and certified bound over the critic's steps, under the exact distance. */
export const criticProgress = {
  draw(surface, { critic }) {
    const { scale: k } = surface;
    const { history } = critic.arrays;
    const rows = Array.from({ length: history.length / 3 }, (_, i) => history.subarray(3 * i, 3 * i + 3));
    const whole = critic.whole ?? rows; // of a recording all steps are known, and the axes stay
    const last = Math.max(10, ...whole.map(([step]) => step));
    const [low, high] = spanAround([0, critic.distance, ...whole.flatMap(([, raw, bound]) => [raw, bound])], 0.06);
    const axes = new Axes(surface, { left: 52, right: 18, top: 26, bottom: 40, x: [0, last], y: [Math.min(...whole.map(([, raw]) => raw)) < 0 ? low : 0, high] });
    axes.draw({ x: "steps of the critic", y: "distance" });
    const colours = LAB.palette.distances;
    const bound = isDark(surface.theme) ? surface.theme.b : colours.bound;
    surface.line(rows.map(([step, raw]) => [axes.x(step), axes.y(raw)]), colours.raw, 2.6 * k);
    surface.line(rows.map(([step, , value]) => [axes.x(step), axes.y(value)]), bound, 2.8 * k);
    surface.line([[axes.left, axes.y(critic.distance)], [axes.right, axes.y(critic.distance)]], colours.exact, 2.4 * k, [6, 4]);
    drawKey(surface, [{ name: "raw value", colour: colours.raw }, { name: "certified bound", colour: bound }, { name: "exact W1", colour: colours.exact, dash: [6, 4] }]);
  },

  words({ critic }) {
    return `After ${critic.steps} steps the raw value is ${shown(critic.raw, "3f")}, the certified bound ${shown(critic.bound, "3f")}, the exact distance ${shown(critic.distance, "3f")}.`;
  },
};
