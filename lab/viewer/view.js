// The view: panels of one scene, linked by time and by what is selected. Time belongs to the browser.

const GLIDE = 250; // milliseconds from one step to the next when a new one arrives
const FRAME = 48; // milliseconds between two drawings while points glide to a new step: five of them
const SCENE_AFTER = 300; // milliseconds without a change before the scene is sent to the host
const MOST_SELECTED = 100;
const MOST_REQUESTED = 24; // frames of one request
const [FEW, VERY_FEW, AT_ONCE] = [40, 4, 6]; // steps that are read of a run being trained; at once
const REPEAT_AFTER = 4000; // milliseconds before a request is repeated
const STAGE_SCALE = 1.6; // of type and lines on a projector
// What has keys of its own elsewhere on the page.
const OWN_KEYS = ["slider", "radio", "tab", "listbox", "option", "menu", "dialog", "grid"].map((role) => `[role=${role}]`).join();
const UNSEEN = 3000; // milliseconds between two drawings of a panel that is not on the screen
const MOVING = ["running", "starting", "training-teacher", "silent"]; // a paused run has time to be read

/** Show the view in `root`. `host` has `kind`, `can` and `send(message)`; returns the view, which
 *  takes packets by `receive(bytes)`, scenes by `set(scene)`, and goes by `destroy()`. */
export function mount(root, host, scene) {
  return new View(root, host, scene);
}

export class View extends Screen {
  constructor(root, host, scene) {
    super();
    Object.assign(this, { root, host, store: new Store(), place: 0, playing: false, speed: 2, panels: [], requested: new Map(), choices: { runs: [], own: true } });
    this.scene = { panels: [], sides: [], step: null, selected: [], loss: "total", measure: "same_class_mass", present: null, ...scene };
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.alert = make("p", { class: "alert", role: "alert" });
    this.note = make("p", { class: "note-line" });
    this.toolbar = new Toolbar(this);
    this.timeline = new Timeline(this);
    this.grid = make("div", { class: "panels" });
    this.objective = make("div", { class: "objective", "data-panel": "objective" });
    this.tip = make("div", { class: "tip", role: "status" });
    this.bubble = make("div", { class: "bubble", role: "dialog" });
    this.element = make("div", { class: `view ${host.kind}`, tabindex: "-1" }, this.note, this.toolbar.element, this.timeline.element, this.alert, this.grid, this.objective, this.tip, this.bubble);
    root.append(this.element);
    this.keys = (event) => this.key(event);
    window.addEventListener("keydown", this.keys, true);
    this.away = (event) => { if (!event.composedPath().includes(this.bubble)) this.hideBubble(); };
    window.addEventListener("pointerdown", this.away, true);
    this.sized = new ResizeObserver(() => this.fit());
    this.sized.observe(this.element);
    this.sized.observe(this.grid);
    this.restless = () => this.redraw();
    this.schemes = matchMedia("(prefers-color-scheme: dark)");
    this.schemes.addEventListener("change", this.restless);
    this.checkTimer = setInterval(() => this.redraw(), 1000); // the page's theme may change, a question get lost
    this.layOut();
    this.redraw();
  }

  destroy() {
    window.removeEventListener("keydown", this.keys, true);
    window.removeEventListener("pointerdown", this.away, true);
    this.schemes.removeEventListener("change", this.restless);
    this.sized.disconnect();
    this.watching.disconnect();
    clearInterval(this.checkTimer);
    clearTimeout(this.reportTimer);
    clearTimeout(this.glideTimer);
    cancelAnimationFrame(this.frame);
    this.element.remove();
  }

  // ------------------------------------------------------------------------- what the host sends

  takeParts(parts, fresh) {
    if (fresh) {
      this.requested.clear();
      this.store = new Store();
    }
    const newest = this.newest();
    for (const part of parts) {
      if (part.kind === "choices") this.choices = part;
      else if (part.kind === "scene") this.follow(part);
      else if (part.kind === "note") this.texts = { ...part, at: { ...(part.more ? this.texts?.at : {}), ...part.at } };
      else if (part.kind === "unpaired") this.unpaired = part.why;
      else if (part.kind === "play") this.togglePlay(true);
      else this.store.take(part);
      if (part.kind === "frame" || part.kind === "missing") this.requested.delete(`${part.run}/${part.arm}@${part.step}`);
      if (part.kind === "status" && part.run === this.scene.sides[0]?.[0]) {
        const known = `${part.phase} ${part.phase === "paused" ? part.step : ""}`;
        if (known !== this.known) [this.known, this.waiting] = [known, null];
      }
      if (part.kind === "images" && part.arrays.png) this.store.run(part.run).images[part.side].sheet.onload = () => this.redraw(true);
    }
    const troubles = [...new Set(this.scene.sides.map(([run]) => this.store.run(run).trouble)), this.unpaired];
    this.alert.textContent = troubles.filter(Boolean).join(" ");
    this.repair();
    this.settle(newest);
    this.redraw();
  }

  /** Choose an arm that there is where the scene names one that there is not. */
  repair() {
    this.scene.sides = this.scene.sides.map(([run, arm]) => {
      const { arms } = this.store.run(run);
      return [run, !arms.length || arms.some(({ name }) => name === arm) ? arm : (arms.find(({ name }) => name === "wcord") ?? arms[0]).name];
    });
    const { present } = this.scene;
    if (present && !["scene", "objective", ...this.scene.panels, ...this.scene.panels.map((id) => id.split("@")[0])].includes(present)) this.scene.present = null;
    const { about, labels } = this.main() ?? {};
    if (labels && this.scene.selected.some((sample) => sample >= labels.length)) this.scene.selected = this.scene.selected.filter((sample) => sample < labels.length);
    if (!about) return;
    if (!about.losses.includes(this.scene.loss)) this.scene.loss = "total";
    if (!about.measures.includes(this.scene.measure)) [this.scene.measure] = about.measures;
  }

  /** Stand at the step of the scene; glide there where it has just come. */
  settle(before) {
    const steps = this.steps();
    if (this.playing) return;
    const place = this.scene.step === null ? steps.length - 1 : this.placeOf(this.scene.step);
    const glides = this.scene.step === null && before >= 0 && place === this.newest() && place > 0 && !this.calm.matches && this.lastPlace >= 0;
    this.target = Math.max(place, 0);
    if (!glides || this.target - this.place > 3 || this.place > this.target) this.place = this.target;
    this.lastPlace = place;
  }

  // -------------------------------------------------------------------------------------- scenes

  /** Change the scene. */
  set(change, { silent = false } = {}) {
    const panels = JSON.stringify(this.scene.panels);
    this.scene = { ...this.scene, ...change };
    this.repair();
    if (JSON.stringify(this.scene.panels) !== panels) this.layOut();
    if ("present" in change) this.veiled = false;
    if ("step" in change && change.step !== undefined) this.playing = this.playing && silent;
    if (!this.playing) this.settle(-1);
    if (!silent) this.reportScene();
    this.redraw();
  }

  /** Take a scene that the page has changed; one that was taken before changes nothing. */
  follow({ scene, number }) {
    if (number !== undefined && number <= (this.scene.moves ?? 0)) return;
    this.set({ ...scene, ...(number === undefined ? {} : { moves: number }) }, { silent: true });
  }

  /** Send the scene to the host, once it rests. */
  reportScene() {
    clearTimeout(this.reportTimer);
    this.reportTimer = setTimeout(() => this.host.send({ kind: "scene", scene: this.scene }), SCENE_AFTER);
  }

  layOut() {
    this.panels = this.scene.panels.map((id) => new Panel(id, this));
    this.grid.replaceChildren(...this.panels.map(({ element }) => element));
    this.watching?.disconnect();
    this.watching = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) Object.assign(this.panels.find(({ element }) => element === target) ?? {}, { seen: isIntersecting });
      this.redraw();
    });
    for (const { element } of this.panels) this.watching.observe(element);
    this.grid.dataset.count = String(this.panels.filter(({ name }) => name !== "card").length);
  }

  main() {
    return this.scene.sides.length ? this.store.run(this.scene.sides[0][0]) : null;
  }

  // ---------------------------------------------------------------------------------------- time

  steps() {
    const all = [...new Set(this.scene.sides.map(([run]) => run))].map((run) => this.store.run(run).steps);
    if (all.length < 2) return all[0] ?? [];
    if (this.scene.letters) return all[0].filter((step) => all[1].includes(step));
    return [...new Set(all.flat())].sort((a, b) => a - b);
  }

  newest() {
    return this.steps().length - 1;
  }

  placeOf(step) {
    const steps = this.steps();
    let place = steps.findIndex((at) => at > step);
    place = place < 0 ? steps.length - 1 : place - 1;
    return Math.max(place, 0);
  }

  /** The step that is shown, null where there is none. */
  step() {
    const steps = this.steps();
    return steps.length ? steps[Math.min(Math.floor(this.place + 1e-6), steps.length - 1)] : null;
  }

  /** The moment that is shown, between two steps while points glide. */
  timeShown() {
    const steps = this.steps();
    const [low, mix] = [Math.min(Math.floor(this.place), steps.length - 1), this.place % 1];
    return steps[low] + mix * ((steps[low + 1] ?? steps[low]) - steps[low]);
  }

  goToPlace(place) {
    const steps = this.steps();
    if (!steps.length) return;
    const at = Math.min(Math.max(place, 0), steps.length - 1);
    this.playing = false;
    this.place = at;
    this.target = at;
    this.scene = { ...this.scene, step: steps[at] };
    this.reportScene();
    this.redraw();
  }

  goTo(step) {
    this.playing = false;
    this.set({ step });
  }

  /** Go `by` steps on; from the newest on, time is followed. */
  stepBy(by) {
    const place = Math.floor(this.place + 1e-6) + by;
    if (by > 0 && place > this.newest()) this.goTo(null);
    else this.goToPlace(place);
  }

  setSpeed(speed) {
    this.speed = speed;
    this.redraw();
  }

  togglePlay(on = !this.playing) {
    if (this.newest() < 1 && on) return;
    this.playing = on;
    if (on && this.place >= this.newest() - 1e-6) this.place = 0;
    this.before = null;
    if (!on) this.goToPlace(Math.floor(this.place + 1e-6));
    this.redraw();
  }

  /** Move time on by what has passed; return whether it goes on moving. */
  advance(now) {
    const passed = Math.min(now - (this.before ?? now), 200);
    this.before = now;
    if (this.playing) {
      const held = this.held(Math.floor(this.place) + 1);
      this.place = Math.min(this.place + (passed / 1000) * this.speed, held ? this.newest() : Math.floor(this.place) + 0.999);
      if (this.place < this.newest()) return true;
      this.playing = false;
      this.set({ step: null });
      return false;
    }
    if (this.target > this.place) {
      this.place = Math.min(this.target, this.place + (passed / GLIDE) * Math.max(1, this.target - this.place));
      return this.place < this.target;
    }
    return false;
  }

  /** Whether the frames at a place have come. */
  held(place) {
    const step = this.steps()[place];
    return this.scene.sides.every(([run, arm]) => {
      const store = this.store.run(run);
      return step === undefined || store.frames.get(arm)?.has(step) || store.missing.has(`${arm}@${step}`) || !this.host.can.ask;
    });
  }

  // ----------------------------------------------------------------------------------- what is seen

  /** What a panel of one side shows now: run, arm, frame, the next frame and how near it is. */
  contentOf(side) {
    const [name, arm] = this.scene.sides[side] ?? ["", ""];
    const run = this.store.run(name);
    const steps = this.steps();
    let place = Math.min(Math.floor(this.place + 1e-6), steps.length - 1);
    let mix = this.calm.matches ? 0 : Math.max(this.place - place, 0);
    const fixed = this.scene.step === null && !this.playing ? this.scene.stepOf?.[side] : undefined;
    if (fixed !== undefined) [place, mix] = [this.placeOf(fixed), 0];
    const frame = place < 0 ? null : run.frame(arm, steps[place]);
    const next = mix > 0 && steps[place + 1] !== undefined ? run.frame(arm, steps[place + 1]) : null;
    return { run, arm, label: this.labelOf(side), frame, next, mix, step: steps[place] };
  }

  labelOf(side) {
    const [name, arm] = this.scene.sides[side] ?? ["", ""];
    const others = this.scene.sides.filter(([, other], place) => place !== side && other === arm);
    const stepWords = this.scene.stepOf ? `, step ${this.scene.stepOf[side]}` : "";
    return (others.some(([run]) => run !== name) ? `${arm} of ${name.length > 18 ? `${name.slice(0, 17)}…` : name}` : arm) + stepWords;
  }

  bold() {
    return this.scene.sides.length === 1 || !this.scene.letters ? this.scene.sides[0]?.[1] : "";
  }

  curveLines(metric) {
    const { sides } = this.scene;
    const main = this.main();
    if (!main?.about) return [];
    const line = (run, arm, label) => ({ name: label, label, colours: run.arm(arm)?.colours ?? ["#888", "#888"], curve: run.curves.get(metric)?.get(arm) });
    if (sides.length === 1 && !this.scene.fixed) return main.arms.map(({ name }) => line(main, name, name));
    const found = sides.map(([run, arm], side) => line(this.store.run(run), arm, this.scene.letters ? `${"AB"[side]} · ${arm}` : arm));
    if (this.scene.letters) found.forEach((one, side) => { one.colours = ["light", "dark"].map((name) => LAB.palette.themes[name]["ab"[side]]); });
    for (const arm of this.scene.beside ?? []) found.push(line(main, arm, arm));
    const taken = new Set();
    for (const one of found) {
      if (taken.has(one.colours[0])) one.colours = [LAB.palette.distances.raw, LAB.palette.distances.raw];
      taken.add(one.colours[0]);
    }
    return found;
  }

  /** The last value of a metric of the arm shown, up to the step shown. */
  valueAt({ run, arm, frame }, metric) {
    const curve = run.curves.get(metric)?.get(arm);
    if (!curve?.values.length) return null;
    const until = this.scene.step === null && !this.playing && !this.scene.stepOf ? Infinity : frame?.epoch ?? Infinity;
    let value = curve.values[0];
    for (let i = 0; i < curve.epochs.length && curve.epochs[i] <= until + 1e-4; i += 1) value = curve.values[i];
    return value;
  }

  /** The axes that the scores of several sides share: those with a critic have no unit in common with others. */
  sharedLimits(panel) {
    if (panel.name !== "scores" || this.scene.sides.length < 2) return undefined;
    const frames = this.scene.sides.map((_, side) => this.contentOf(side).frame).filter(Boolean);
    const own = this.contentOf(panel.side).frame;
    const alike = frames.filter((frame) => frame.critic === own?.critic);
    if (alike.length < 2) return undefined;
    return {
      x: [Math.min(...alike.map(({ bins }) => bins[0])), Math.max(...alike.map(({ bins }) => bins[1]))],
      y: Math.max(...alike.map(({ arrays }) => 100 * Math.max(...arrays.shares))),
      toString() { return `${this.x}:${this.y}`; },
    };
  }

  problemOf({ run, arm, step, frame }) {
    if (run.trouble) return run.trouble;
    const why = run.missing.get(`${arm}@${step}`);
    if (!why) return "";
    return `Step ${step} cannot be read${frame ? `; step ${frame.step} is shown` : ""} (${why}).`;
  }

  scale() {
    return this.scene.present && this.scene.present !== "scene" ? Math.min(STAGE_SCALE, Math.max(1, this.element.clientWidth / 900)) : 1;
  }

  // ------------------------------------------------------------------------------- requests

  /** Request frames that are not here: what is shown first, then what is near in time. */
  requestFrames() {
    if (!this.host.can.ask || document.hidden) return;
    const now = performance.now();
    for (const [key, at] of this.requested) if (now - at > REPEAT_AFTER) this.requested.delete(key);
    if (this.requested.size) return;
    const requests = [];
    const request = (run, arm, step) => {
      const key = `${run}/${arm}@${step}`;
      const store = this.store.run(run);
      if (requests.length >= MOST_REQUESTED || step === undefined || store.frames.get(arm)?.has(step) || store.missing.has(`${arm}@${step}`)) return;
      requests.push([run, arm, step]);
      this.requested.set(key, now);
    };
    const steps = this.steps();
    const here = Math.max(Math.round(this.place), 0);
    const sides = this.scene.sides;
    for (const [run, arm] of sides) request(run, arm, steps[here]);
    const main = this.main();
    const others = sides.length === 1 ? (main?.arms ?? []).map(({ name }) => [sides[0][0], name]) : [];
    // Of a run that is being trained some steps are enough: reading them takes time from training.
    const moving = sides.some(([run]) => MOVING.includes(this.store.run(run).status?.phase));
    if (!moving) for (const [run, arm] of others) request(run, arm, steps[here]);
    if (!requests.length && this.store.bytes < 0.75 * ROOM && (!moving || now - (this.read ?? 0) > REPEAT_AFTER)) {
      this.read = now;
      const near = (most) => spreadOver(steps.length, moving ? most : Infinity).sort((a, b) => Math.abs(a - here - 0.6) - Math.abs(b - here - 0.6));
      for (const place of near(FEW)) for (const [run, arm] of sides) request(run, arm, steps[place]);
      for (const place of near(VERY_FEW)) for (const [run, arm] of others) request(run, arm, steps[place]);
      if (moving) for (const [run, arm, step] of requests.splice(AT_ONCE)) this.requested.delete(`${run}/${arm}@${step}`);
    }
    if (requests.length) this.host.send({ kind: "frames", frames: requests });
    this.store.evict(sides[0]?.[0], steps[here] ?? 0);
  }

  requestImages(run) {
    run.images.requested = true;
    if (this.host.can.ask) this.host.send({ kind: "images", run: run.name });
  }

  steer(action, value = null) {
    if (action !== "pace") this.waiting = `${action} ${value}`;
    this.host.send({ kind: "steer", run: this.scene.sides[0][0], action, value });
    this.redraw();
    clearTimeout(this.giving);
    this.giving = setTimeout(() => { this.waiting = null; this.redraw(); }, 8000);
  }

  // ------------------------------------------------------------------------------------- selection

  select(samples, add = false) {
    const chosen = add ? [...new Set([...this.scene.selected, ...samples])] : samples;
    const stride = Math.max(1, Math.ceil(chosen.length / MOST_SELECTED));
    this.set({ selected: chosen.filter((_, i) => i % stride === 0) });
  }

  hover(panel, hit, event) {
    this.hovering = hit ? { panel, hit } : null;
    if (!hit) this.tip.classList.remove("open");
    else this.point(panel, hit, event);
    this.redraw();
  }

  hoverIn(panel) {
    if (!this.hovering) return null;
    if (this.hovering.panel === panel) return this.hovering.hit;
    const { samples, pair } = this.hovering.hit;
    return samples.length && ["map", "scores", "lines"].includes(panel.name) ? { samples, pair } : null;
  }

  point(panel, hit, event) {
    const { run } = panel.memory;
    if (!run.images.requested && hit.samples.length) this.requestImages(run);
    const images = [];
    if (hit.student !== undefined) {
      for (const [side, sample] of [["teacher", hit.teacher], ["student", hit.student]]) {
        const image = imageOf(run, side, sample, 56);
        if (image) images.push(make("figure", {}, image, make("figcaption", {}, `${side} ${sample}`)));
      }
    } else if (hit.samples.length) images.push(...bothImages(run, hit.samples[0], 56));
    this.tip.replaceChildren(make("p", {}, hit.text), ...(images.length ? [make("div", { class: "thumbs" }, ...images)] : []));
    this.tip.classList.add("open");
    this.putNear(this.tip, event.clientX + 14, event.clientY + 14);
  }

  help(near) {
    const wholeScreen = [["F", "all panels on the whole screen"], ["1 … 9", "one panel on the whole screen"], ["H", "there: hide it, and reveal it"]];
    const keys = [["← →", "one step back or on (with Shift: ten)"], ["Home End", "the first step; the newest, and stay there"], ["Space", "play and stop"],
      ...(this.host.can.present === false ? [] : wholeScreen), ["Esc", "back"]];
    const list = (entries) => make("dl", { class: "words" }, ...entries.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
    const column = (title, entries) => make("div", {}, make("h4", {}, title), list(entries));
    this.explain(near, make("div", { class: "columns" }, column("Keys", keys), column("Words", Object.entries(LAB.glossary))));
  }

  // ------------------------------------------------------------------------------------ taking away

  exportPanel(panel) {
    if (this.host.can.export) {
      this.host.send({ kind: "export", panel: panel.id, metric: panel.metric?.() ?? null, step: this.step() });
      return;
    }
    const name = `${panel.name}-${panel.memory.arm}-step-${this.step()}`.replace(/[^\w.+-]+/g, "-");
    const save = (blob, ending) => {
      const link = make("a", { download: `${name}.${ending}`, href: URL.createObjectURL(blob) });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    };
    const button = (text, action) => make("button", { type: "button", onclick: action }, text);
    this.explain(panel.tools, make("div", { class: "ways" },
      button("Picture, PNG", () => panel.canvas.toBlob((blob) => save(blob, "png"))),
      button("Data, CSV", () => save(new Blob([csvOf(panel)], { type: "text/csv" }), "csv"))));
  }

  // ------------------------------------------------------------------------- the whole screen, keys

  present(id) {
    if (this.host.can.present === false) return;
    this.set({ present: id });
  }

  key(event) {
    const target = event.composedPath()[0];
    const typing = target instanceof HTMLElement && (["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) || target.isContentEditable);
    const inside = event.composedPath().includes(this.element);
    if (event.altKey || event.ctrlKey || event.metaKey || typing) return;
    const dialog = document.querySelector("[role=dialog]:not(.bubble)"); // of the page: it has keys of its own
    if (dialog) {
      if (event.key === "Escape" && !dialog.contains(target)) dialog.querySelector("[aria-label=Close]")?.click();
      return;
    }
    if (!inside && !this.scene.present && (this.host.kind === "notebook" || target.closest?.(OWN_KEYS))) return;
    if (event.key === " " && target instanceof HTMLButtonElement) return;
    const shownPanels = ["objective", ...this.panels.filter(({ name }) => name !== "card").map(({ id }) => id)];
    const actions = {
      f: () => this.present(this.scene.present ? null : "scene"),
      ArrowLeft: () => this.stepBy(event.shiftKey ? -10 : -1),
      ArrowRight: () => this.stepBy(event.shiftKey ? 10 : 1),
      Home: () => this.goToPlace(0),
      End: () => this.goTo(null),
      " ": () => this.togglePlay(),
      Escape: () => (this.bubble.classList.contains("open") ? this.hideBubble() : this.scene.present ? this.present(null) : this.select([])),
      ...(this.scene.present ? { h: () => { this.veiled = !this.veiled; this.redraw(); } } : {}),
    };
    const number = Number.parseInt(event.key, 10);
    const action = actions[event.key] ?? actions[event.key.toLowerCase()] ?? (number > 0 && shownPanels[number] ? () => this.present(shownPanels[number]) : null);
    if (!action) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    action();
  }

  // ------------------------------------------------------------------------------------- drawing

  redraw(all = false) {
    if (all) for (const panel of this.panels) panel.stamped = null;
    this.frame ||= requestAnimationFrame((now) => this.draw(now));
  }

  /** Draw the next picture of a glide: fewer than the browser offers, which costs less. */
  redrawLater() {
    this.glideTimer ||= setTimeout(() => { this.glideTimer = 0; this.redraw(); }, FRAME - 16);
  }

  /** Let the first row of panels end where the window does, whatever stands above it. */
  fit() {
    let above = this.grid.getBoundingClientRect().top + window.scrollY;
    for (let at = this.root.host ?? this.root; at; at = at.parentElement) if (at !== document.documentElement) above += at.scrollTop ?? 0;
    this.element.style.setProperty("--above", `${Math.round(Math.min(Math.max(above, 0), 400))}px`);
    this.sizes = (this.sizes ?? 0) + 1;
    this.redraw();
  }

  draw(now) {
    this.frame = 0;
    if (this.moving && !this.playing && now - this.drawn < FRAME) {
      this.redrawLater();
      return;
    }
    const glided = this.moving && !this.playing;
    this.drawn = now;
    this.element.drawings = (this.element.drawings ?? 0) + 1; // for those who measure
    this.moving = this.advance(now);
    if (!this.moving || now - (this.themed ?? 0) > 500) [this.theme, this.themed] = [themeOf(this.element), now];
    const { theme } = this;
    if (glided && this.moving) { // between two steps only the points move
      for (const panel of this.panels) if (panel.kind?.glides && panel.seen) panel.draw(theme);
      this.redrawLater();
      return;
    }
    this.element.classList.toggle("dark", isDark(theme));
    const staged = this.scene.present;
    this.element.classList.toggle("stage", Boolean(staged));
    this.element.classList.toggle("whole", staged === "scene");
    this.element.classList.toggle("veiled", Boolean(staged && this.veiled));
    this.element.style.setProperty("--paper", theme.paper);
    this.element.style.setProperty("--ink", theme.ink);
    this.element.style.setProperty("--faint", theme.faint);
    this.element.style.setProperty("--a", theme.a);
    this.element.style.setProperty("--b", theme.b);
    for (const panel of this.panels) panel.element.classList.toggle("staged", panel.id === staged || panel.name === staged);
    this.objective.classList.toggle("staged", staged === "objective");
    this.toolbar.draw();
    this.timeline.draw(theme);
    const text = [this.texts?.text, this.texts?.at?.[this.step()], this.texts?.after].filter(Boolean).join(" ");
    if (this.note.textContent !== text) this.note.textContent = text;
    this.drawObjective();
    for (const panel of this.panels) if (!staged || staged === "scene" || panel.element.classList.contains("staged")) this.drawPanel(panel, now);
    this.requestFrames();
    if (this.moving && this.playing) this.redraw();
    else if (this.moving) this.redrawLater();
    else this.before = null;
  }

  /** Draw a panel at once where it is seen, else every now and then, for those who only hear it. */
  drawPanel(panel, now) {
    if (!panel.seen && now - (panel.drawn ?? -UNSEEN) < UNSEEN) return;
    panel.drawn = now;
    panel.draw(this.theme);
  }

  drawObjective() {
    const content = this.contentOf(0);
    const { run, arm, frame } = content;
    const equation = run?.arm(arm)?.equations.objective;
    const drawable = equation && frame && this.scene.sides.length === 1;
    this.objective.classList.toggle("hidden", !drawable);
    if (!drawable) return;
    if (this.typed !== equation[0]) {
      this.objective.innerHTML = equation[0];
      this.objective.title = equation[1];
      this.typed = equation[0];
    }
    for (const slot of this.objective.querySelectorAll("[data-value]")) {
      const name = slot.dataset.value; // as the curves have it, where they have it
      const text = shown(this.valueAt(content, name) ?? frame.values[name], slot.dataset.form);
      if (slot.textContent !== text) slot.textContent = text;
    }
  }
}

/** Places of `count`, at most `most` of them, spread so that more steps later change few of them. */
function spreadOver(count, most) {
  const stride = 2 ** Math.ceil(Math.log2(Math.max(1, count / most)));
  return Array.from({ length: Math.ceil(count / stride) }, (_, k) => k * stride);
}

/** The data of a panel as comma-separated values. */
export function csvOf(panel) {
  const { run, frame, lines: curvesShown } = panel.memory;
  const table = (head, rows) => [head, ...rows].map((row) => row.map((cell) => (/[",\n]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : cell)).join(",")).join("\n");
  if (curvesShown) return table(["arm", "epoch", "value"], curvesShown.flatMap(({ label, curve }) => (curve?.epochs ?? []).map((epoch, i) => [label, epoch, curve.values[i]])));
  if (panel.name === "map" || panel.name === "lines") {
    const places = run.places(frame);
    return table(["sample", "class", "side", "x", "y"], ["teacher", "student"].flatMap((side) => [...run.labels].map((label, i) => [i, run.className(label, true), side, places[side][2 * i] / 16383.5, places[side][2 * i + 1] / 16383.5])));
  }
  const value = panel.name === "plan" || panel.name === "difference" ? (i) => ((frame.arrays.plan[i] / 255) ** 2).toFixed(4) : (i) => (frame.low + (frame.arrays.scores[i] / 255) * (frame.high - frame.low)).toFixed(4);
  return table(["teacher_sample", "student_sample", panel.name === "plan" ? "share" : "score"], [...frame.arrays.plan.keys()].map((i) => [Math.floor(i / frame.n), i % frame.n, value(i)]));
}
