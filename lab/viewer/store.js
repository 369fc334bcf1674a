// What the browser has of runs: settings, state, frames, maps, curves, images.

const ROOM = 96e6; // bytes of frames that are kept

export class Store {
  constructor() {
    this.runs = new Map();
    this.bytes = 0;
    this.changes = 0; // grows with everything that is taken
  }

  run(name) {
    if (!this.runs.has(name)) this.runs.set(name, new RunStore(name));
    return this.runs.get(name);
  }

  /** Take one part of a packet. */
  take(part) {
    this.changes += 1;
    if (part.run === undefined) return;
    const run = this.run(part.run);
    const size = run.take(part);
    this.bytes += size;
  }

  /** Let go of the frames that are furthest from a step, while there are too many. */
  evict(name, step) {
    if (this.bytes < ROOM) return;
    const all = [];
    for (const run of this.runs.values()) {
      for (const [arm, frames] of run.frames) {
        for (const [at, frame] of frames) {
          all.push([run.name === name ? Math.abs(at - step) : Infinity, frames, at, frame, run, arm]);
        }
      }
    }
    all.sort((a, b) => b[0] - a[0]);
    for (const [, frames, at, frame] of all) {
      if (this.bytes < 0.8 * ROOM) break;
      frames.delete(at);
      this.bytes -= frame.size;
    }
  }
}

export class RunStore {
  constructor(name) {
    this.name = name;
    this.about = null;
    this.labels = null;
    this.status = null;
    this.trouble = "";
    this.frames = new Map(); // arm -> step -> frame
    this.maps = new Map(); // arm -> step -> places
    this.missing = new Map(); // "arm@step" -> why
    this.curves = new Map(); // metric -> arm -> {epochs, values}
    this.images = {};
  }

  take(part) {
    const take = { run: "takeRun", samples: "takeSamples", status: "takeStatus", frame: "takeFrame",
      map: "takeMap", curve: "takeCurve", images: "takeImages", missing: "takeMissing",
      trouble: "takeTrouble" }[part.kind];
    return take ? this[take](part) ?? 0 : 0;
  }

  /** Take what is known of a run before it is read: what is here of another run of its name goes. */
  takeRun(part) {
    const freed = [...this.frames.values()].flatMap((frames) => [...frames.values()]).reduce((sum, { size }) => sum + size, 0);
    Object.assign(this, new RunStore(this.name), { about: part });
    return -freed;
  }

  takeTrouble(part) {
    this.trouble = part.why;
  }

  takeSamples(part) {
    this.labels = part.arrays.labels;
    this.index = part.arrays.index;
    this.orders = new Map();
  }

  takeStatus(part) {
    this.trouble = "";
    this.status = part;
    const known = new Set(part.steps); // a resumed run may have lost steps
    let freed = 0;
    for (const frames of [...this.frames.values(), ...this.maps.values()]) {
      for (const [step, { size }] of frames) {
        if (known.has(step)) continue;
        frames.delete(step);
        freed += size ?? 0; // a map is part of a frame
      }
    }
    for (const key of this.missing.keys()) if (!known.has(Number(key.split("@").at(-1)))) this.missing.delete(key);
    return -freed;
  }

  takeFrame(part) {
    const frames = nested(this.frames, part.arm);
    part.size = Object.values(part.arrays).reduce((sum, array) => sum + array.byteLength, 2000);
    const before = frames.get(part.step)?.size ?? 0;
    part.n = part.arrays.own.length;
    frames.set(part.step, part);
    this.missing.delete(`${part.arm}@${part.step}`);
    if (part.method === "UMAP") nested(this.maps, part.arm).set(part.step, part.arrays);
    return part.size - before;
  }

  takeMap(part) {
    nested(this.maps, part.arm).set(part.step, part.arrays);
  }

  takeMissing(part) {
    this.missing.set(`${part.arm}@${part.step}`, part.why);
  }

  takeCurve(part) {
    const of = nested(this.curves, part.name);
    for (const arm of part.fresh) of.set(arm, { epochs: [], values: [] });
    for (const [place, { name: arm }] of this.about.arms.entries()) {
      const epochs = part.arrays[`${place}.epochs`];
      if (!epochs) continue;
      if (!of.has(arm)) of.set(arm, { epochs: [], values: [] });
      of.get(arm).epochs.push(...epochs);
      of.get(arm).values.push(...part.arrays[`${place}.values`]);
    }
  }

  takeImages(part) {
    if (part.why) this.images.why = part.why;
    else if (part.same) this.images[part.side] = this.images.teacher;
    else this.images[part.side] = { ...part, sheet: sheetOf(part.arrays.png) };
  }

  get steps() {
    return this.status?.steps ?? [];
  }

  get arms() {
    return this.about?.arms ?? [];
  }

  arm(name) {
    return this.arms.find((arm) => arm.name === name) ?? this.arms[0];
  }

  /** Return the frame of an arm at a step, else the nearest that is here, else null. */
  frame(arm, step) {
    const frames = this.frames.get(arm);
    if (!frames?.size) return null;
    if (frames.has(step)) return frames.get(step);
    let best = null;
    for (const [at, frame] of frames) {
      if (!best || Math.abs(at - step) < Math.abs(best.step - step)) best = frame;
    }
    return best;
  }

  /** Return the places of a frame's points and how they were made: the newest UMAP up to it. */
  places(frame) {
    const maps = this.maps.get(frame.arm);
    let newest = -1;
    if (maps) for (const step of maps.keys()) if (step <= frame.step && step > newest) newest = step;
    if (newest < 0) return { ...frame.arrays, method: "PCA", step: frame.step };
    return { ...maps.get(newest), method: "UMAP", step: newest };
  }

  /** Return the samples of the plan (n of them) sorted by class, and each one's place among them. */
  order(n) {
    if (!this.orders.has(n)) {
      const order = Array.from({ length: n }, (_, i) => i);
      order.sort((a, b) => this.labels[a] - this.labels[b] || a - b);
      const places = new Array(n);
      order.forEach((sample, place) => { places[sample] = place; });
      const blocks = [];
      order.forEach((sample, place) => {
        const label = this.labels[sample];
        if (blocks.at(-1)?.label !== label) blocks.push({ label, start: place, end: place });
        blocks.at(-1).end = place + 1;
      });
      this.orders.set(n, { order, places, blocks });
    }
    return this.orders.get(n);
  }

  /** Return the name of a class: short where there is little room. */
  className(label, long = false) {
    const names = this.about?.classes[label];
    return names ? names[long ? 1 : 0] : String(label);
  }

  /** Return the step at an epoch and the epoch at a step, by the run's length. */
  epochOf(step) {
    const { total } = this.status ?? {};
    return total ? (step / total) * this.about.epochs : 0;
  }
}

function nested(map, key) {
  if (!map.has(key)) map.set(key, new Map());
  return map.get(key);
}

function sheetOf(png) {
  const sheet = new Image();
  sheet.src = URL.createObjectURL(new Blob([png], { type: "image/png" }));
  return sheet;
}
