// The one line of controls: which run and arm, steering, and what there is besides.

const PACES = [0, 0.5, 1, 2, 5, 10, 30]; // seconds an epoch; 0 is full speed
const CHIPS = 6; // arms that are shown side by side; more are chosen from a list

export class Toolbar {
  constructor(view) {
    this.view = view;
    this.sides = make("div", { class: "sides" });
    this.steering = make("div", { class: "steering" });
    this.state = make("output", { class: "state", "aria-live": "polite" });
    this.begin = make("div", { class: "begin" });
    this.element = make("div", { class: "toolbar", role: "toolbar", "aria-label": "Run" }, this.sides, this.steering, this.state, this.begin);
  }

  draw() {
    const { view } = this;
    if (!view.scene.fixed) this.drawSides();
    else if (this.begin.parentElement === this.element) view.timeline.element.append(this.begin); // a line less
    this.drawSteering();
    const status = view.main()?.status;
    let words = view.main()?.trouble || status?.sentence || "";
    if (status?.speed) words += ` · ${shown(status.speed, "1f")} epochs a second`;
    if (status?.phase === "finished") words = "";
    if (this.state.textContent !== words) this.state.textContent = words;
    this.element.classList.toggle("hidden", Boolean(view.scene.fixed && !words && !this.steering.childElementCount));
    const begin = JSON.stringify([view.host.can, view.choices.own, view.main()?.status?.data]);
    if (this.begun !== begin) {
      this.begun = begin;
      this.begin.replaceChildren(...this.beginnings());
    }
  }

  beginnings() {
    const { view } = this;
    const sender = (kind, text, title, primary) => make("button", { type: "button", class: primary ? "primary" : null, title, onclick: () => view.host.send({ kind }) }, text);
    const { can } = view.host;
    return [
      can.start && !view.choices.own ? sender("train", "Train this now", "Train this preset here, live: a minute on two cores", true) : null,
      can.data && view.main()?.status?.data ? sender("data", "Data", "What this run found in its data set") : null,
      can.start ? sender("new", "New run…", "Choose a preset, its arms and its weights", view.choices.own) : null,
      can.present === false ? null : make("button", { type: "button", title: "All panels on the whole screen (F)", "aria-label": "Whole screen", onclick: () => view.present(view.scene.present ? null : "scene") }, "⇲"),
      make("button", { type: "button", title: "What the words and keys mean", "aria-label": "Help", onclick: (event) => view.help(event.target) }, "?"),
    ].filter(Boolean);
  }

  drawSides() {
    const { view } = this;
    const { sides } = view.scene;
    const key = JSON.stringify([sides, view.choices.runs, sides.map(([run]) => view.store.run(run).arms.map(({ name }) => name))]);
    if (this.drawn === key) return;
    this.drawn = key;
    this.sides.replaceChildren(...sides.map(([run, arm], place) => this.chooser(run, arm, place)));
  }

  chooser(run, arm, place) {
    const { view } = this;
    const letter = view.scene.letters ? make("b", { class: "ab"[place] }, "AB"[place]) : null;
    const choose = (name, value) => {
      const next = view.scene.sides.map((side) => [...side]);
      next[place] = name === "run" ? [value, next[place][1]] : [next[place][0], value];
      view.set({ sides: next, ...(name === "run" ? { step: null, selected: [] } : {}) });
    };
    const { arms } = view.store.run(run);
    const side = view.scene.letters ? ` of ${"AB"[place]}` : "";
    const found = [letter];
    if (view.host.can.runs) found.push(pick(`Run${side}`, view.choices.runs.includes(run) ? view.choices.runs : [run, ...view.choices.runs], run, (value) => choose("run", value), "runs"));
    if (arms.length > CHIPS || view.scene.letters) found.push(pick(`Arm${side}`, arms.map(({ name }) => name), arm, (value) => choose("arm", value)));
    else {
      found.push(make("div", { class: "chips", role: "radiogroup", "aria-label": "Arm" }, ...arms.map(({ name }) => make("button",
        { type: "button", role: "radio", "aria-checked": String(name === arm), title: name, onclick: () => choose("arm", name) }, name))));
    }
    return make("span", { class: "side" }, ...found.filter(Boolean));
  }

  drawSteering() {
    const { view } = this;
    const run = view.main();
    const phase = run?.status?.phase;
    const may = view.host.can.steer && run?.about?.ours && !view.scene.letters;
    const perEpoch = run?.status?.total ? Math.round(run.status.total / run.about.epochs) : 0;
    const pace = Math.round(1000 * (run?.status?.delay ?? 0) * perEpoch) / 1000;
    const key = [may, phase, perEpoch, pace, view.waiting].join();
    if (this.steered === key) return;
    this.steered = key;
    const kind = !may ? "none" : ["interrupted", "stopped", "failed"].includes(phase) ? "ended"
      : phase === "paused" ? "paused" : ["running", "starting", "training-teacher", "silent"].includes(phase) ? "running" : "none";
    const act = (text, title, action, value = null) => make("button", { type: "button", title, disabled: view.waiting === `${action} ${value}`, onclick: () => view.steer(action, value) }, view.waiting === `${action} ${value}` ? `${text}…` : text);
    const steps = () => [["1 step", 1], ["10 steps", 10], ...(perEpoch ? [["1 epoch", perEpoch]] : [])].map(([text, count]) => act(text, `Take ${text}, then pause`, "step", count));
    const found = {
      none: () => [],
      ended: () => [act("Resume", "Go on from the last checkpoint, to the same numbers", "relaunch")],
      paused: () => [act("Resume", "Go on training", "resume"), ...steps(), act("Stop", "End the run, with a checkpoint", "stop")],
      running: () => [act("Pause", "Wait before the next step", "pause"), act("Stop", "End the run, with a checkpoint", "stop"), ...(perEpoch ? [this.pace(pace)] : [])],
    }[kind]();
    this.steering.replaceChildren(...found);
  }

  pace(now) {
    const nearest = PACES.reduce((best, pace) => (Math.abs(pace - now) < Math.abs(best - now) ? pace : best));
    const name = (pace) => (!pace ? "full speed" : pace < 1 ? `${1 / pace} epochs a second` : `${pace} s an epoch`);
    const select = make("select", { "aria-label": "Pace", title: "The least time that an epoch takes. The numbers are the same at any pace.", onchange: (event) => this.view.steer("pace", Number(event.target.value)) },
      ...PACES.map((pace) => make("option", { value: pace }, name(pace))));
    select.value = String(nearest);
    return select;
  }
}

function pick(label, options, chosen, onpick, kind = null) {
  const select = make("select", { "aria-label": label, title: label, class: kind, onchange: (event) => onpick(event.target.value) },
    ...options.map((name) => make("option", { value: name }, name)));
  select.value = chosen;
  return select;
}
