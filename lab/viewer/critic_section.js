// The dual form below the clouds: a critic that the page trains, some steps at a time.

export class CriticSection {
  constructor(play) {
    Object.assign(this, { play, part: null, again: 0, learning: false, askedFor: 0 });
    const names = LAB.playground.constraint_names;
    this.constraint = new Choice("What keeps the slope at most 1", (constraint) => this.setConstraint(constraint));
    this.names = Object.fromEntries(LAB.playground.constraints.map((name) => [name, names[name]]));
    this.learn = make("button", { type: "button", class: "learn", title: "Let the critic take steps", "aria-pressed": "false", onclick: () => this.toggle() }, "Learn");
    const begin = make("button", { type: "button", title: "Begin again with a critic that knows nothing", onclick: () => this.beginAgain() }, "Begin again");
    this.numbers = new NumberRow(LAB.playground.critic_numbers, (near, words) => play.explain(near, words), "Numbers of the critic");
    this.boards = { critic: new Board("critic", play), progress: new Board("progress", play) };
    this.contents = { critic: {}, progress: {} };
    this.element = make("section", { class: "dual", "aria-label": "The dual form: a critic learns" },
      make("div", { class: "controls" }, make("h3", {}, make("b", {}, "The dual form: a critic learns")), this.constraint.element, this.learn, begin, this.numbers.element),
      make("div", { class: "boards two" }, ...Object.values(this.boards).map(({ element }) => element)));
  }

  /** Whether the critic that has come is of the clouds that are shown. */
  get current() {
    const { part, play } = this;
    return Boolean(part) && part.version === play.version && part.constraint === play.scene.constraint && part.again === this.again;
  }

  ask() {
    const { version, scene } = this.play;
    this.askedFor = version;
    this.play.questions.critic.ask({ version, constraint: scene.constraint, again: this.again, learn: this.learning });
  }

  take(part) {
    this.part = part;
    if (this.current && part.steps >= part.longest) this.learning = false;
    this.goOn();
    this.play.redraw(false);
  }

  /** Ask for more steps while the critic learns and the page is seen. */
  goOn() {
    if (this.learning && this.current && !document.hidden && !this.play.questions.critic.open) this.ask();
  }

  setConstraint(constraint) {
    this.play.scene.constraint = constraint;
    this.ask();
    this.play.reportScene();
    this.play.redraw(false);
  }

  toggle() {
    if (this.current && this.part.steps >= this.part.longest) this.again += 1;
    this.learning = !this.learning;
    if (this.learning) this.ask();
    this.play.redraw(false);
  }

  beginAgain() {
    this.again += 1;
    this.ask();
    this.play.redraw(false);
  }

  draw(theme) {
    const { play, part, current } = this;
    this.constraint.show(play.scene.constraint, this.names);
    this.learn.setAttribute("aria-pressed", String(this.learning));
    const values = current ? part : {};
    this.numbers.show(values);
    const flat = part?.flat;
    const ready = Boolean(part && play.points && (current || flat === (play.scene.space === "line")));
    const content = { critic: part, clouds: play.points };
    const shared = { values, ready, old: !current, stamp: [part?.number, current, play.version].join() };
    const picture = flat ? lineCritic : planeCritic;
    Object.assign(this.contents.critic, content);
    Object.assign(this.contents.progress, content);
    const note = current ? `step ${part.steps} of ${part.longest}` : "";
    this.boards.critic.draw(theme, { ...shared, key: `critic ${flat ? "line" : "plane"}`, note: "high on the source, low on the target", picture, content: this.contents.critic, words: () => "" });
    this.boards.progress.draw(theme, { ...shared, key: "progress", note, picture: criticProgress, content: this.contents.progress, words: () => "" });
  }
}
