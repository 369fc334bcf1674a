// What the playground has on the screen: its elements, and when they are drawn.

const SOLVE_BUDGET = 30; // milliseconds of updates before the page draws

export class CloudScreen extends Screen {
  constructor() {
    super();
    this.contents = { clouds: {}, plan: {}, potentials: {}, batchLines: {}, batchPlan: {} };
    Object.assign(this, { changes: 0, hovered: null, dragging: null, picked: [] });
  }

  build(root) {
    this.alert = make("p", { class: "alert", role: "alert" });
    this.toast = make("p", { class: "alert toast", role: "alert" });
    this.live = make("p", { class: "unseen", "aria-live": "polite" });
    this.controls = new CloudControls(this);
    this.numbers = new NumberRow(LAB.playground.numbers, (near, words) => this.explain(near, words), "Numbers of the plan");
    this.addTo = new Segments("A click on the plane adds a point to this cloud", { source: "● source", target: "◆ target" }, (cloud) => { this.adding = cloud; this.redraw(); });
    const button = (text, title, action) => make("button", { type: "button", title, "aria-label": title, onclick: action }, text);
    this.undoButton = button("↶", "Undo (Ctrl+Z)", () => this.goBack("undo"));
    this.redoButton = button("↷", "Redo (Ctrl+Shift+Z)", () => this.goBack("redo"));
    this.editing = make("span", { class: "editing" }, make("span", { class: "name" }, "click adds to"), this.addTo.element, make("span", { class: "tools" }, this.undoButton, this.redoButton));
    this.boards = { clouds: new Board("clouds", this, [this.editing]), plan: new Board("plan", this) };
    if (this.offers.potentials) this.boards.potentials = new Board("potentials", this);
    this.dual = this.offers.critic ? new CriticSection(this) : null;
    this.grid = make("div", { class: "boards" }, ...Object.values(this.boards).map(({ element }) => element));
    this.tip = make("div", { class: "tip", role: "status" });
    this.bubble = make("div", { class: "bubble", role: "dialog", "aria-label": "Explanation" });
    this.element = make("div", { class: `view playground ${this.host.kind}` }, this.alert, this.controls.element, this.numbers.element, this.grid, this.dual?.element ?? "", this.live, this.toast, this.tip, this.bubble);
    root.append(this.element);
    const { canvas } = this.boards.clouds;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "picture with points that can be moved");
    this.hand = new CloudCanvas(canvas, this);
    this.listenForHover();
  }

  listen() {
    this.away = (event) => { if (!event.composedPath().includes(this.bubble)) this.hideBubble(); };
    window.addEventListener("pointerdown", this.away, true);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.schemes = matchMedia("(prefers-color-scheme: dark)");
    this.refresh = () => this.redraw(false);
    this.schemes.addEventListener("change", this.refresh);
    this.seen = () => { if (!document.hidden) this.dual?.goOn(); };
    document.addEventListener("visibilitychange", this.seen);
    this.sized = new ResizeObserver(() => this.fit());
    this.sized.observe(this.element);
    this.checkTimer = setInterval(() => { // the page's theme may change, an answer get lost
      for (const question of Object.values(this.questions)) question.send();
      this.redraw(false);
    }, 1000);
  }

  /** Show what is under the pointer in the plan, and in the pictures of a batch. */
  listenForHover() {
    for (const [name, board] of Object.entries(this.boards)) {
      if (name === "potentials") continue;
      const { canvas } = board;
      const find = (event) => {
        const box = canvas.getBoundingClientRect();
        const [x, y] = [event.clientX - box.left, event.clientY - box.top];
        if (this.scene.space !== "batch") return name === "plan" ? cloudPlan.hit(this.contents.plan, x, y) : undefined;
        if (!this.batch || !this.solved) return null;
        const hit = name === "plan" ? plan.hit(this.contents.batchPlan, x, y) : lines.hit(this.contents.batchLines, x, y);
        return hit && { ...hit, of: name };
      };
      canvas.addEventListener("pointermove", (event) => {
        const hit = find(event);
        if (hit !== undefined) this.hover(hit, event);
      });
      canvas.addEventListener("pointerleave", () => this.hover(null));
      canvas.addEventListener("click", (event) => {
        if (this.scene.space !== "batch") return;
        this.picked = find(event)?.samples ?? [];
        this.redraw();
      });
    }
  }

  destroy() {
    window.removeEventListener("pointerdown", this.away, true);
    document.removeEventListener("visibilitychange", this.seen);
    this.schemes.removeEventListener("change", this.refresh);
    this.sized.disconnect();
    clearInterval(this.checkTimer);
    for (const timer of [this.askTimer, this.reportTimer, this.warning]) clearTimeout(timer);
    cancelAnimationFrame(this.frame);
    this.element.remove();
  }

  // ------------------------------------------------------------------------------------- words

  /** Say something to those who do not see it. */
  announce(text) {
    this.live.textContent = text;
  }

  /** Say for a while why something was not done. */
  warn(text) {
    this.toast.textContent = text;
    clearTimeout(this.warning);
    this.warning = setTimeout(() => { this.toast.textContent = ""; }, 5000);
  }

  hover(hit, event) {
    const before = JSON.stringify(this.hovered);
    this.hovered = hit;
    this.tip.classList.toggle("open", Boolean(hit));
    if (hit) {
      setText(this.tip, hit.text ?? this.wordsOf(hit));
      this.putNear(this.tip, event.clientX + 14, event.clientY + 14);
    }
    if (before !== JSON.stringify(hit)) this.redraw();
  }

  /** The description of a point: where it is, and where most of its mass goes. */
  wordsOf({ cloud, place, column }) {
    const point = this.points?.[cloud][place];
    if (!point) return "";
    const flat = this.scene.space === "line";
    const at = flat ? shown(point[0]) : `(${shown(point[0])}, ${shown(point[1])})`;
    const name = `${cloud} point ${place + 1} of ${this.points[cloud].length} at ${at}`;
    const { solved } = this;
    if (!solved) return name;
    const { n, m } = solved;
    const inPercent = (share) => (share < 5e-4 ? "less than 0.1 %" : percent(share));
    if (column !== undefined) return `${name}: ${inPercent(n * solved.plan[place * m + column])} of its mass goes to target point ${column + 1}`;
    const share = (other) => (cloud === "source" ? n * solved.plan[place * m + other] : m * solved.plan[other * m + place]);
    let best = 0;
    for (let other = 1; other < (cloud === "source" ? m : n); other += 1) if (share(other) > share(best)) best = other;
    return `${name}: ${inPercent(share(best))} of its mass ${cloud === "source" ? "goes to" : "comes from"} ${otherCloud(cloud)} point ${best + 1}`;
  }

  // ------------------------------------------------------------------------------------- drawing

  redraw(changed = true) {
    if (changed) this.changes += 1;
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** Let the first row of panels end where the window does, whatever stands above it. */
  fit() {
    let above = this.grid.getBoundingClientRect().top + window.scrollY;
    for (let at = this.root.host ?? this.root; at; at = at.parentElement) if (at !== document.documentElement) above += at.scrollTop ?? 0;
    this.element.style.setProperty("--above", `${Math.round(Math.min(Math.max(above, 0), 400))}px`);
    this.redraw(false);
  }

  draw() {
    this.frame = 0;
    if (this.job) this.work();
    const theme = themeOf(this.element);
    this.element.classList.toggle("dark", isDark(theme));
    for (const name of ["paper", "ink", "faint", "source", "target"]) this.element.style.setProperty(`--${name}`, theme[name]);
    this.addTo.show(this.adding);
    this.addTo.element.parentElement.classList.toggle("hidden", this.scene.space === "batch");
    this.editing.classList.toggle("flat", this.scene.space === "line");
    this.undoButton.disabled = !this.clouds.history.past.length;
    this.redoButton.disabled = !this.clouds.history.future.length;
    const values = this.valuesNow();
    this.numbers.show(values);
    this.drawBoards(theme, values);
    this.dual?.draw(theme);
    if (this.job) this.redraw();
  }

  /** Solve for a while; what is not done then goes on in the next frame. */
  work() {
    const { iterations } = this.scene;
    const done = this.job.run(iterations, performance.now() + SOLVE_BUDGET);
    this.finish(this.job.result());
    this.solved.partial = !done;
    setText(this.controls.progress, done ? "" : `${this.job.done} of ${iterations} iterations`);
    if (done) this.job = null;
  }

  valuesNow() {
    const solved = this.solved?.partial ? null : this.solved;
    const missing = this.points || this.questions.batch.open ? null : Number.NaN; // of no clouds there are no numbers
    const exact = this.exact?.value ?? missing;
    return {
      value: solved?.value ?? missing,
      exact,
      bias: solved && this.exact ? solved.value - exact : missing,
      error: solved?.error ?? missing,
      objective: solved?.objective ?? missing,
      entropy: solved?.entropy ?? missing,
      epsilon: this.solvingNow().epsilon,
    };
  }

  drawBoards(theme, values) {
    const { scene, points, boards } = this;
    const [n, m] = CLOUD_NAMES.map((cloud) => points?.[cloud].length ?? 0);
    const fits = (found) => found?.n === n && found.m === m;
    const solved = this.solved ?? (fits(this.old) ? this.old : null);
    const old = !this.solved;
    const flat = scene.space === "line";
    const marked = this.dragging ?? this.hovered ?? this.hand.focus;
    const shared = { stamp: this.changes, values, solver: scene.solver, old };
    if (scene.space === "batch") this.drawBatch(theme, solved, shared);
    else if (points) {
      const both = { clouds: points, flat, solved, old, marked, focused: marked === this.hand.focus };
      Object.assign(this.contents.clouds, both, { reach: this.dragging ? this.contents.clouds.reach : reachOf(CLOUD_NAMES.map((cloud) => points[cloud])) });
      const orders = Object.fromEntries(CLOUD_NAMES.map((cloud) => [cloud, flat ? fromLeft(points[cloud]) : points[cloud].map((_, i) => i)]));
      Object.assign(this.contents.plan, both, { orders });
      boards.clouds.draw(theme, { ...shared, key: "clouds", picture: cloudsPicture, content: this.contents.clouds, ready: true, old: false, words: (content) => this.hintOf(content) });
      boards.plan.draw(theme, { ...shared, key: "plan", picture: cloudPlan, content: this.contents.plan, ready: Boolean(solved), words: () => this.spreadOf(solved) });
    } else for (const name of ["clouds", "plan"]) boards[name].draw(theme, { ...shared, key: name, ready: false });
    if (boards.potentials) this.drawPotentials(theme, { points, solved, old, flat, shared });
  }

  drawPotentials(theme, { points, solved, old, flat, shared }) {
    const { scene, boards } = this;
    const [n, m] = CLOUD_NAMES.map((cloud) => points?.[cloud].length ?? 0);
    const kind = flat ? "line" : "plane";
    const exact = this.exact ?? (this.lastExact && this.lastExact.f.length === n && this.lastExact.g.length === m ? this.lastExact : null);
    if (this.exact) this.lastExact = this.exact;
    const picture = flat ? linePotentials : planePotentials;
    Object.assign(this.contents.potentials, { sides: scene.space === "batch" ? ["teacher", "student"] : CLOUD_NAMES, clouds: points, solved, exact: flat ? this.exact : exact, old: old || (!flat && !this.exact) });
    const ready = Boolean(points && solved && (flat || exact));
    boards.potentials.draw(theme, { ...shared, key: `potentials ${kind}`, picture, content: this.contents.potentials, ready, old: this.contents.potentials.old, words: (content) => picture.words(content) });
  }

  /** Draw a run's batch as the live page does: lines in the colours of the classes, the plan sorted by class. */
  drawBatch(theme, solved, shared) {
    const { batch, boards } = this;
    const ready = Boolean(batch && solved);
    if (ready && this.framed?.of !== solved) this.framed = { of: solved, ...batchFrame(solved, batch) };
    const note = batch ? `${batch.arm}, step ${batch.step}` : "";
    const content = ready && { frame: this.framed.frame, run: batch.store, selected: this.picked, scale: 1 };
    const hover = this.hovered;
    Object.assign(this.contents.batchLines, content, { hover: hover?.samples ? hover : null });
    Object.assign(this.contents.batchPlan, content, { hover: hover?.of === "plan" ? hover : null });
    boards.clouds.draw(theme, { ...shared, key: "batch", note, picture: lines, content: this.contents.batchLines, ready, words: () => this.framed.words });
    boards.plan.draw(theme, { ...shared, key: "plan", note: ready ? this.framed.note : "", picture: { draw: plan.draw }, content: this.contents.batchPlan, ready, words: () => this.spreadOf(solved) });
  }

  hintOf({ covered, flat }) {
    const carried = covered === null ? "" : `The lines carry ${percent(covered)} of the mass. `;
    const where = flat ? "Click above or below to add a point" : `Click the plane to add a ${this.adding} point`;
    return `${carried}${where}, click a point to remove it, drag it to move it.`;
  }

  /** Say how far the mass of a row is spread: the exponential of the rows' mean entropy. */
  spreadOf({ n, entropy, error }) {
    const [from, to] = this.scene.space === "batch" ? ["teacher sample", "student samples"] : ["source point", "target points"];
    const spread = Math.exp(entropy - Math.log(n)).toFixed(1);
    const words = `On average a ${from}'s mass is spread over ${spread} ${to}.`;
    return error > 0.01 ? `${words} ${percent(error / 2)} of the mass sits at the wrong ${from}: more iterations would move it.` : words;
  }
}

/** A plan of a run's batch as a frame of the live page, with its words. */
function batchFrame({ plan: masses, n }, batch) {
  const shades = new Uint8Array(n * n);
  let [same, diagonal] = [0, 0];
  const { labels } = batch.arrays;
  for (let i = 0; i < n; i += 1) {
    const sum = masses.subarray(i * n, (i + 1) * n).reduce((a, b) => a + b, 0);
    for (let j = 0; j < n; j += 1) {
      const mass = masses[i * n + j];
      shades[i * n + j] = sum > 0 ? Math.round(255 * Math.sqrt(Math.min(mass / sum, 1))) : 0;
      if (labels[i] === labels[j]) same += mass;
      if (i === j) diagonal += mass;
    }
  }
  const arrays = { plan: shades, teacher: batch.arrays.source, student: batch.arrays.target };
  return {
    frame: { arm: batch.arm, step: batch.step, n, arrays },
    note: `in class ${same.toFixed(2)}, diagonal ${diagonal.toFixed(2)}`,
    words: `${percent(same)} of the mass stays in its class, ${percent(diagonal)} joins a sample with itself. Click a point or a row to see it alone.`,
  };
}
