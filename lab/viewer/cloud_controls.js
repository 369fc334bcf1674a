// The playground's controls: where the clouds come from, how they are solved.

const SPACE_NAMES = { plane: "plane", line: "line", batch: "a run's batch" };
const DRAWN_SHAPE = "drawn";

/** Buttons of which one is pressed. */
export class Segments {
  constructor(label, names, onpick) {
    this.buttons = Object.entries(names).map(([value, name]) => make("button", { type: "button", value, onclick: () => onpick(value) }, name));
    this.element = make("div", { class: "segments", role: "group", "aria-label": label }, ...this.buttons);
  }

  show(value) {
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.value === value));
  }
}

/** A slider over a list of values, to which a value that is not in it is added. */
export class ValueSlider {
  constructor(label, values, onpick, title = label) {
    Object.assign(this, { values, all: values });
    this.name = make("span", { class: "name" }, label);
    this.input = make("input", { type: "range", min: 0, step: 1, "aria-label": title, oninput: () => onpick(this.all[Number(this.input.value)]) });
    this.output = make("output", {});
    this.element = make("label", { class: "field slider", title }, this.name, this.input, this.output);
  }

  show(value, { label, title, disabled = false } = {}) {
    this.all = this.values.includes(value) ? this.values : [...this.values, value].sort((a, b) => a - b);
    this.input.max = String(Math.max(this.all.length - 1, 0));
    this.input.value = String(this.all.indexOf(value));
    this.input.disabled = disabled;
    const text = value === undefined || value === null ? "–" : short(value);
    this.input.setAttribute("aria-valuetext", text);
    setText(this.output, text);
    if (label) setText(this.name, label);
    if (!title) return;
    this.input.setAttribute("aria-label", title);
    this.element.title = title;
  }
}

/** A list of names to choose from, which may change. */
export class Choice {
  constructor(label, onpick, title = label) {
    this.select = make("select", { "aria-label": title, title, onchange: () => onpick(this.select.value) });
    this.element = make("label", { class: "field" }, make("span", { class: "name" }, label), this.select);
  }

  show(value, names, disabled = false) {
    const options = Object.entries(names);
    const key = JSON.stringify(options);
    if (this.key !== key) {
      this.key = key;
      this.select.replaceChildren(...options.map(([option, name]) => make("option", { value: option }, name)));
    }
    this.select.value = value;
    this.select.disabled = disabled;
  }
}

function same(names) {
  return Object.fromEntries(names.map((name) => [name, name]));
}

/** Both lines of controls; `play` is the playground. */
export class CloudControls {
  constructor(play) {
    this.play = play;
    const { costs, epsilons, iterations, last_seed: last } = LAB.playground;
    const { offers } = play;
    const spaces = Object.fromEntries(offers.spaces.map((space) => [space, SPACE_NAMES[space]]));
    this.space = new Segments("Where the clouds come from", spaces, (space) => play.setSpace(space));
    this.clouds = Object.fromEntries(CLOUD_NAMES.map((cloud) => [cloud, this.cloudChoice(cloud)]));
    this.points = new ValueSlider("Points", offers.points, (points) => play.setClouds({ points }), "Points in each cloud that is a shape");
    this.seed = make("input", { type: "number", min: 0, max: last, step: 1, "aria-label": "Seed of the shapes", onchange: () => this.takeSeed() });
    this.run = new Choice("Run", (run) => play.setBatch({ run, step: null, epsilon: null }));
    this.arm = new Choice("Arm", (arm) => play.setBatch({ arm, epsilon: null }));
    this.step = new ValueSlider("Step", [], (step) => play.setBatch({ step }));
    this.cost = new Choice("Cost C", (cost) => play.setSolving({ cost }, "points"));
    this.solver = new Segments("Solver", same(offers.solvers), (solver) => play.setSolving({ solver }));
    this.epsilon = new ValueSlider("ε", epsilons, (epsilon) => play.setSolving({ epsilon }));
    this.iterations = new ValueSlider("Iterations", iterations, (count) => play.setSolving({ iterations: count }));
    this.progress = make("output", { class: "progress", "aria-live": "polite" });
    const seed = make("label", { class: "field" }, make("span", { class: "name" }, "Seed"), this.seed);
    const offered = (elements) => Object.entries(elements).map(([name, element]) => (offers[name] === false || offers[name]?.length < 2 ? null : element));
    const shapes = offers.shapes ? CLOUD_NAMES.map((cloud) => this.clouds[cloud].element) : [];
    this.drawn = make("div", { class: "controls" }, ...shapes, ...offered({ points: this.points.element, seed }));
    this.batch = make("div", { class: "controls" }, this.run.element, this.arm.element, this.step.element);
    const from = make("div", { class: "controls" }, ...offered({ spaces: this.space.element }), this.drawn, offers.spaces.includes("batch") ? this.batch : null);
    const solve = make("div", { class: "controls" }, ...offered({ cost: this.cost.element, solvers: this.solver.element }), this.epsilon.element, this.iterations.element, this.progress);
    this.element = make("div", { class: "playbar", role: "toolbar", "aria-label": "Clouds and solver" }, ...(from.querySelector(":is(button, select, input)") ? [from, solve] : [solve]));
  }

  cloudChoice(cloud) {
    const choice = new Choice(cloud === "source" ? "● Source" : "◆ Target", (shape) => this.play.setShape(cloud, shape), `Shape of the ${cloud}`);
    choice.element.classList.add(cloud);
    const move = make("button", { type: "button", "aria-label": `Move the ${cloud}`, title: `Move, scale and turn the ${cloud}`, onclick: (event) => this.openMoves(cloud, event.target) }, "move");
    const pair = make("div", { class: "pair" }, choice.element, move);
    return { choice, move, element: pair };
  }

  takeSeed() {
    const seed = Math.round(Number(this.seed.value));
    if (this.seed.value.trim() && seed >= 0 && seed <= LAB.playground.last_seed) this.play.setClouds({ seed });
    else this.show();
  }

  /** Open the sliders that move a cloud. */
  openMoves(cloud, near) {
    const { play } = this;
    const spec = play.scene[cloud];
    if (spec.points) {
      play.explain(near, `The ${cloud} was drawn. Hold Shift and drag one of its points to move all of them, or choose a shape.`);
      return;
    }
    let begun = false;
    const sliders = Object.entries(LAB.playground.moves).map(([move, { low, high, step }]) => {
      const values = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => Number((low + i * step).toFixed(2)));
      const slider = new ValueSlider(move === "turn" ? "turn, °" : move, values, (value) => {
        if (!begun) play.clouds.remember();
        begun = true;
        play.scene[cloud] = { ...play.scene[cloud], [move]: value };
        slider.show(value);
        play.begin("points");
        play.reportScene();
      }, `${move} of the ${cloud}`);
      slider.show(spec[move], { disabled: move === "up" && play.scene.space === "line" });
      return slider.element;
    });
    play.explain(near, make("div", { class: "moves" }, ...sliders));
  }

  /** Bring all controls up to the scene. */
  show() {
    const { play } = this;
    const { scene, batch } = play;
    const ofBatch = scene.space === "batch";
    this.space.show(scene.space);
    this.drawn.classList.toggle("hidden", ofBatch);
    this.batch.classList.toggle("hidden", !ofBatch);
    for (const cloud of CLOUD_NAMES) {
      const { choice } = this.clouds[cloud];
      const { shapes } = LAB.playground;
      choice.show(scene[cloud].shape ?? DRAWN_SHAPE, same(scene[cloud].points ? [...shapes, DRAWN_SHAPE] : shapes));
    }
    this.points.show(scene.points, { disabled: CLOUD_NAMES.every((cloud) => scene[cloud].points) });
    if (this.seed !== this.play.root.activeElement) this.seed.value = String(scene.seed);
    this.run.show(scene.batch.run, same([...new Set([scene.batch.run, ...(play.runs ?? [])].filter(Boolean))]));
    this.arm.show(batch?.arm ?? "", same(batch?.arms ?? []), !batch);
    this.step.values = batch?.steps ?? [];
    this.step.show(batch?.step, { disabled: (batch?.steps.length ?? 0) < 2 });
    const { cost, solver, epsilon, iterations } = play.solvingNow();
    const exact = solver === "exact";
    this.cost.show(cost, same(LAB.playground.costs));
    this.solver.show(solver);
    this.epsilon.show(epsilon, solver === "ipot"
      ? { label: "β", title: "β, strength of a proximal step" }
      : { label: "ε", title: "ε, strength of the entropy", disabled: exact });
    this.iterations.show(iterations, { disabled: exact });
  }
}
