// Critics that have learnt before: recordings (lab/course/critic_recordings.py) of critics of two
// clouds under each constraint, moved through their steps.

const PLAY_EVERY = 300; // milliseconds between two recorded steps while it plays

/** Show recorded critics in `root`; `parts` are those of the recording. */
export function mountRecordedCritics(root, host, parts) {
  return new RecordedCritics(root, host, parts);
}

export class RecordedCritics extends Screen {
  constructor(root, host, parts) {
    super();
    this.clouds = Object.fromEntries(parts.filter(({ kind }) => kind === "critic clouds").map((part) => [part.name, part]));
    this.critics = new Map(parts.filter(({ kind }) => kind === "critic steps").map((part) => [`${part.clouds} ${part.constraint}`, part]));
    Object.assign(this, { root: root.getRootNode(), host, name: Object.keys(this.clouds)[0], constraint: LAB.playground.constraints[0], contents: { critic: {}, progress: {} } });
    this.place = this.recording.arrays.steps.length - 1;
    this.build(root);
    this.redraw();
  }

  get recording() {
    return this.critics.get(`${this.name} ${this.constraint}`);
  }

  build(root) {
    const constraints = Object.fromEntries(LAB.playground.constraints.map((name) => [name, LAB.playground.constraint_names[name]]));
    this.pair = new Segments("The two clouds", Object.fromEntries(Object.values(this.clouds).map(({ name, title }) => [name, title])), (name) => this.show({ name }));
    this.choice = new Choice("Constraint", (constraint) => this.show({ constraint }), "What keeps the slope at most 1");
    this.choice.show(this.constraint, constraints);
    this.play = make("button", { type: "button", class: "play", title: "Play through the steps", onclick: () => this.togglePlay() });
    this.slider = new ValueSlider("Step", [...this.recording.arrays.steps], (step) => this.goTo(step), "Step of the critic");
    this.numbers = new NumberRow(LAB.playground.critic_numbers, (near, words) => this.explain(near, words), "Numbers of the critic");
    this.boards = { critic: new Board("critic", this), progress: new Board("progress", this) };
    this.bubble = make("div", { class: "bubble", role: "dialog", "aria-label": "Explanation" });
    this.element = make("div", { class: `view playground recorded ${this.host.kind}` },
      make("div", { class: "playbar", role: "toolbar", "aria-label": "Clouds, constraint and step" }, this.pair.element, this.choice.element),
      make("div", { class: "playbar" }, this.play, this.slider.element),
      this.numbers.element, make("div", { class: "boards two" }, ...Object.values(this.boards).map(({ element }) => element)), this.bubble);
    root.append(this.element);
    this.away = (event) => { if (!event.composedPath().includes(this.bubble)) this.hideBubble(); };
    window.addEventListener("pointerdown", this.away, true);
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") this.hideBubble(); });
    this.schemes = matchMedia("(prefers-color-scheme: dark)");
    this.refresh = () => this.redraw();
    this.schemes.addEventListener("change", this.refresh);
    this.sized = new ResizeObserver(this.refresh);
    this.sized.observe(this.element);
  }

  destroy() {
    window.removeEventListener("pointerdown", this.away, true);
    this.schemes.removeEventListener("change", this.refresh);
    this.sized.disconnect();
    clearInterval(this.playing);
    cancelAnimationFrame(this.frame);
    this.element.remove();
  }

  show(change) {
    Object.assign(this, change);
    this.redraw();
  }

  goTo(step) {
    if (this.playing) this.togglePlay();
    this.show({ place: this.recording.arrays.steps.indexOf(step) });
  }

  togglePlay() {
    const last = this.recording.arrays.steps.length - 1;
    if (this.playing) clearInterval(this.playing);
    else if (this.place === last) this.place = 0;
    this.playing = this.playing ? null : setInterval(() => {
      this.place = Math.min(this.place + 1, last);
      if (this.place === last) this.togglePlay();
      this.redraw();
    }, PLAY_EVERY);
    this.redraw();
  }

  redraw() {
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** The critic at the step shown, as a page of the lab would send it. */
  criticNow() {
    const [{ flat, reach, distance, arrays: of }, { arrays }] = [this.clouds[this.name], this.recording];
    const step = arrays.steps[this.place];
    const [raw, slope, bound] = arrays.numbers.subarray(3 * this.place, 3 * this.place + 3);
    const heights = heightsAt(arrays, this.place);
    const whole = Array.from({ length: arrays.history.length / 3 }, (_, i) => arrays.history.subarray(3 * i, 3 * i + 3));
    const history = arrays.history.subarray(0, 3 * whole.filter(([at]) => at <= step).length);
    const found = { steps: step, raw, slope, bound, distance, flat, reach, whole, arrays: { history } };
    if (!flat) return { ...found, arrays: { history, landscape: Object.assign(heights, { shape: [Math.sqrt(heights.length), Math.sqrt(heights.length)] }) } };
    const line = Float32Array.from({ length: 3 * heights.length }, (_, i) => [of.across, heights, of.best][i % 3][Math.floor(i / 3)]);
    return { ...found, heights: arrays.spans, arrays: { history, line, guides: arrays.guides.subarray(9 * this.place, 9 * this.place + 9) } };
  }

  draw() {
    this.frame = 0;
    const theme = themeOf(this.element);
    this.element.classList.toggle("dark", isDark(theme));
    for (const name of ["paper", "ink", "faint", "source", "target"]) this.element.style.setProperty(`--${name}`, theme[name]);
    const critic = this.criticNow();
    this.pair.show(this.name);
    this.play.textContent = this.playing ? "❚❚" : "▶";
    this.play.setAttribute("aria-label", this.playing ? "Stop playing" : "Play");
    this.slider.show(critic.steps);
    this.numbers.show(critic);
    const { arrays } = this.clouds[this.name];
    const content = { critic, clouds: Object.fromEntries(CLOUD_NAMES.map((cloud) => [cloud, pairsOf(arrays[cloud])])) };
    for (const name of Object.keys(this.boards)) Object.assign(this.contents[name], content);
    const shared = { values: critic, ready: true, old: false, stamp: [this.name, this.constraint, this.place].join(), words: () => "" };
    const [kind, picture] = critic.flat ? ["line", lineCritic] : ["plane", planeCritic];
    this.boards.critic.draw(theme, { ...shared, key: `critic ${kind}`, picture, content: this.contents.critic });
    this.boards.progress.draw(theme, { ...shared, key: "progress", note: `step ${critic.steps} of ${critic.whole.at(-1)[0]}`, picture: criticProgress, content: this.contents.progress });
  }
}

/** Return the heights at a recorded step, which the recording has as whole numbers in a span. */
function heightsAt({ heights, spans }, place) {
  const [, count] = heights.shape;
  const [low, high] = spans.subarray(2 * place, 2 * place + 2);
  const most = 2 ** (8 * heights.BYTES_PER_ELEMENT) - 1;
  return Float32Array.from(heights.subarray(count * place, count * (place + 1)), (level) => low + (level / most) * (high - low));
}
