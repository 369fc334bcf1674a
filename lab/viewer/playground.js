// The playground: two clouds, the plan between them, a critic. Sinkhorn is solved here, at once;
// the exact answer, IPOT and the critic come from the page that holds the view. A host that cannot
// answer some questions leaves out of `offers` what would need them.

const ASK_AFTER = 150; // milliseconds without a change before questions are sent
const REPORT_AFTER = 300; // the same before the scene is sent
const MOST_ENTRIES = 256 * 256; // of a cost that is solved here

/** Everything that can be chosen and seen. */
function allOffers() {
  const { solvers, fewest, most } = LAB.playground;
  const points = Array.from({ length: most - fewest + 1 }, (_, i) => fewest + i);
  return { spaces: Object.keys(SPACE_NAMES), shapes: true, points, seed: true, cost: true, solvers, potentials: true, critic: true };
}

/** Show the playground in `root`; `scene.clouds` is its scene (`cloud_scene.py`). */
export function mountPlayground(root, host, scene) {
  return new Playground(root, host, scene.clouds);
}

export class Playground extends CloudScreen {
  constructor(root, host, scene) {
    super();
    Object.assign(this, { root: root.getRootNode(), host, scene, adding: "source", version: 0, solving: 0 });
    Object.assign(this, { points: null, exact: null, solved: null, old: null, job: null, batch: null, matrix: null });
    this.offers = { ...allOffers(), ...host.offers };
    this.clouds = new Clouds(scene);
    this.questions = Object.fromEntries(["shapes", "batch", "clouds", "critic"].map((kind) => [kind, new Question(kind, host.send)]));
    this.build(root);
    this.listen();
    this.controls.show();
    this.redraw();
  }

  // ------------------------------------------------------------------------------- what the page sends

  takeParts(parts, fresh) {
    if (fresh) for (const question of Object.values(this.questions)) question.forget();
    const take = { scene: "takeScene", shapes: "takeShapes", batch: "takeBatch", clouds: "takeAnswer", critic: "takeCritic" };
    const again = fresh && this.points;
    for (const part of parts) if (take[part.kind]) this[take[part.kind]](part);
    if (!again) return;
    this.begin("points");
    this.reportScene();
  }

  /** Take a scene from an address that was followed; one that is known may be older than this one. */
  takeScene({ scene, moves }) {
    if (moves === this.moves) return;
    this.moves = moves;
    if (JSON.stringify(scene) === JSON.stringify(this.scene)) return;
    Object.assign(this.scene, scene);
    this.batch = null;
    this.arrange();
  }

  takeShapes(part) {
    if (!this.questions.shapes.answered(part) || part.trouble) return;
    this.clouds.takeShapes(part);
    if (!this.clouds.known) this.askShapes();
    if (this.scene.space !== "batch") this.begin("points");
  }

  takeBatch(part) {
    if (!this.questions.batch.answered(part)) return;
    this.runs = part.runs;
    this.batch = part.trouble ? null : part;
    this.alert.textContent = part.trouble ?? "";
    const { batch } = this.scene;
    Object.assign(batch, { run: part.run }, part.trouble ? {} : { arm: part.arm, step: part.step });
    if (this.batch) this.batch.store = Object.assign(new RunStore(part.run), { about: { classes: part.classes }, labels: part.arrays.labels, orders: new Map() });
    if (this.scene.space === "batch") this.begin("points");
    this.reportScene();
  }

  takeAnswer(part) {
    if (this.questions.clouds.answered(part)) this.alert.textContent = part.trouble ?? "";
    if (part.trouble || part.later || part.version !== this.version) return;
    const { exact_f: f, exact_g: g, matrix, plan: masses } = part.arrays;
    if (f) this.exact = { value: part.exact, f, g };
    if (masses && part.solving === this.solving) {
      const [n, m] = masses.shape;
      const entropy = masses.reduce((sum, mass) => (mass > 0 ? sum - mass * Math.log(mass) : sum), 0);
      this.finish({ plan: masses, f: part.arrays.f, g: part.arrays.g, n, m, entropy, value: part.value, objective: part.objective, error: part.error });
    }
    if (matrix) {
      this.matrix = { version: this.version, cost: matrix };
      if (!this.solved) this.begin("solving");
    }
    this.redraw();
  }

  takeCritic(part) {
    if (this.questions.critic.answered(part) && !part.trouble) this.dual?.take(part);
  }

  // ------------------------------------------------------------------------------------ the problem

  /** Where the clouds come from has changed, or the whole scene. */
  arrange() {
    if (!this.clouds.known) this.askShapes();
    if (this.scene.space === "batch" && !this.batch) this.askBatch();
    if (this.scene.space !== "batch") this.alert.textContent = "";
    this.begin("points");
    this.reportScene();
  }

  askShapes() {
    const { points, seed } = this.scene;
    this.questions.shapes.ask({ points, seed });
  }

  askBatch() {
    const { run, arm, step } = this.scene.batch;
    this.questions.batch.ask({ run, arm, step });
  }

  /** What the problem is solved with: a batch has a cost and an ε of its own. */
  solvingNow() {
    const { scene, batch } = this;
    const own = scene.space === "batch" ? scene.batch : scene;
    return { cost: own.cost, epsilon: own.epsilon ?? batch?.epsilon ?? scene.epsilon, solver: scene.solver, iterations: scene.iterations };
  }

  pointsNow() {
    if (this.scene.space === "batch") return this.batch && { source: pairsOf(this.batch.arrays.source), target: pairsOf(this.batch.arrays.target) };
    const points = Object.fromEntries(CLOUD_NAMES.map((cloud) => [cloud, this.clouds.pointsOf(cloud)]));
    return points.source && points.target ? points : null;
  }

  /** Begin to solve: `why` is "points" where points or cost are new, "solving" where only ε,
   *  iterations or the solver are. */
  begin(why) {
    const { scene } = this;
    this.old = this.solved && !this.solved.partial ? this.solved : this.old;
    [this.solved, this.job] = [null, null];
    this.solving += 1;
    const solving = this.solvingNow();
    if (why === "points") {
      this.points = this.pointsNow();
      this.version += 1;
      [this.exact, this.hovered] = [null, null];
      if (this.matrix) this.matrix = null;
    }
    this.controls.show();
    this.redraw();
    if (!this.points) return;
    const [n, m] = CLOUD_NAMES.map((cloud) => this.points[cloud].length);
    this.here = solving.solver === "sinkhorn" && n * m <= MOST_ENTRIES;
    if (why === "points" || !this.here) this.askSoon();
    if (!this.here) return;
    const flat = scene.space === "line";
    const cost = scene.space === "batch" ? this.matrix?.cost : costOf(solving.cost, ...CLOUD_NAMES.map((cloud) => coordinatesOf(this.points[cloud], flat)), flat ? 1 : 2);
    if (cost) this.job = new Sinkhorn(cost, n, m, solving.epsilon);
  }

  finish(result) {
    const mean = meanOf(result.f);
    this.solved = { ...result, f: result.f.map((value) => value - mean), g: result.g.map((value) => value + mean) };
  }

  askSoon() {
    clearTimeout(this.askTimer);
    if (this.host.answersAtOnce) this.askNow();
    else this.askTimer = setTimeout(() => this.askNow(), ASK_AFTER);
  }

  askNow() {
    const { scene, version, solving } = this;
    if (!this.points) return;
    const missing = { exact: !this.exact, solve: !this.here && !this.solved, matrix: scene.space === "batch" && this.here && !this.matrix };
    if (Object.values(missing).some(Boolean)) {
      const points = scene.space === "batch" ? { batch: scene.batch } : this.points;
      this.questions.clouds.ask({ version, solving, space: scene.space, ...points, ...this.solvingNow(), ...missing });
    }
    if (this.dual && this.dual.askedFor !== version) this.dual.ask();
  }

  /** Tell the page of the scene, once it rests. */
  reportScene() {
    clearTimeout(this.reportTimer);
    this.reportTimer = setTimeout(() => this.host.send({ kind: "scene", scene: this.scene, moves: this.moves }), REPORT_AFTER);
  }

  // ------------------------------------------------------------------------------- what is changed

  setSpace(space) {
    this.scene.space = space;
    this.hand.focusOn(null);
    this.old = null;
    this.arrange();
  }

  setShape(cloud, shape) {
    if (!LAB.playground.shapes.includes(shape)) return;
    this.clouds.remember();
    const still = Object.fromEntries(Object.entries(LAB.playground.moves).map(([move, { neutral }]) => [move, neutral]));
    const { points, ...moves } = this.scene[cloud];
    this.scene[cloud] = { ...(points ? still : moves), shape };
    this.arrange();
  }

  setClouds(change) {
    this.clouds.remember();
    Object.assign(this.scene, change);
    this.controls.show();
    this.askShapes();
    this.reportScene();
  }

  setBatch(change) {
    Object.assign(this.scene.batch, change);
    this.askBatch();
  }

  setSolving(change, why = "solving") {
    const ofBatch = this.scene.space === "batch";
    for (const [key, value] of Object.entries(change)) (ofBatch && key in this.scene.batch ? this.scene.batch : this.scene)[key] = value;
    this.begin(why);
    this.reportScene();
  }

  goBack(way) {
    if (!this.clouds[way]()) return;
    this.hand.nudged = "";
    this.hand.focus = null;
    this.arrange();
    this.announce(way === "undo" ? "Undone." : "Done again.");
  }

  key(event) {
    const target = event.composedPath()[0];
    if (event.key === "Escape" && this.bubble.classList.contains("open")) {
      this.hideBubble();
      this.explained?.focus();
      event.preventDefault();
    }
    if (target.type === "number" || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const way = { z: event.shiftKey ? "redo" : "undo", y: "redo" }[event.key.toLowerCase()];
    if (!way || !this.drawable) return;
    event.preventDefault();
    event.stopPropagation();
    this.goBack(way);
  }

  /** Whether points can be drawn: those of a batch stay where they are. */
  get drawable() {
    return this.scene.space !== "batch" && Boolean(this.points);
  }
}
