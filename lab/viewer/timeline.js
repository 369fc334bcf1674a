// Time: a slider over the steps of a run, the accuracy of every arm behind it; play, speed, follow.

const SPEEDS = [0.5, 1, 2, 4, 8]; // steps a second
const TRACK = 9; // CSS pixels at each end of the slider

export class Timeline {
  constructor(view) {
    this.view = view;
    this.play = make("button", { type: "button", class: "play", title: "Play through time (Space)", onclick: () => view.togglePlay() });
    this.speed = make("select", { "aria-label": "Speed of playing", title: "Speed of playing", onchange: () => view.setSpeed(Number(this.speed.value)) },
      ...SPEEDS.map((speed) => make("option", { value: speed }, `${speed} step${speed === 1 ? "" : "s"}/s`)));
    this.canvas = make("canvas", { role: "slider", tabindex: "0", "aria-label": "Step shown", "aria-orientation": "horizontal" });
    this.follow = make("button", { type: "button", title: "To the newest step, and stay there (End)", "aria-label": "newest", onclick: () => view.goTo(null) }, make("span", { class: "word" }, "newest "), "⇥");
    this.where = make("output", { class: "where" });
    this.element = make("div", { class: "timeline" }, this.play, this.speed, this.canvas, this.where, this.follow);
    this.surface = new Surface(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.grab(event));
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) this.move(event);
    });
  }

  grab(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    this.move(event);
  }

  move(event) {
    const steps = this.view.steps();
    if (!steps.length) return;
    const { left, width } = this.canvas.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - left - TRACK) / (width - 2 * TRACK)));
    this.view.goToPlace(this.placeAt(share, steps));
  }

  /** Steps stand where their time is, so that the slider's place fits the curves behind it. */
  span(steps) {
    return [0, Math.max(1, this.view.main()?.status?.total ?? 0, steps.at(-1) ?? 0)];
  }

  placeAt(share, steps) {
    const pointed = share * this.span(steps)[1];
    let best = 0;
    steps.forEach((step, place) => { if (Math.abs(step - pointed) < Math.abs(steps[best] - pointed)) best = place; });
    return best;
  }

  draw(theme) {
    const { view, surface } = this;
    const steps = view.steps();
    const run = view.main();
    this.play.textContent = view.playing ? "❚❚" : "▶";
    this.play.setAttribute("aria-label", view.playing ? "Stop playing" : "Play");
    this.play.disabled = steps.length < 2;
    this.speed.value = String(view.speed);
    this.follow.setAttribute("aria-pressed", String(view.scene.step === null && !view.playing));
    const step = view.step();
    const epoch = view.contentOf(0).frame?.epoch;
    const apart = view.scene.stepOf && view.scene.step === null && !view.playing;
    this.where.textContent = step === null ? "" : apart ? "steps of equal cost" : `step ${step}${Number.isFinite(epoch) ? ` · epoch ${epoch.toFixed(1)} of ${run.about.epochs}` : ""}`;
    this.canvas.setAttribute("aria-valuemin", "0");
    this.canvas.setAttribute("aria-valuemax", String(Math.max(steps.length - 1, 0)));
    this.canvas.setAttribute("aria-valuenow", String(Math.round(view.place)));
    this.canvas.setAttribute("aria-valuetext", this.where.textContent || "no step yet");
    if (!surface.begin(theme) || !run?.about) return;
    const c = surface.context;
    const [low, high] = this.span(steps);
    const x = (value) => TRACK + ((value - low) / (high - low)) * (surface.width - 2 * TRACK);
    const floor = surface.height - 12;
    const dark = isDark(theme) ? 1 : 0;
    const behind = view.scene.behind ?? run.status?.result ?? "test_accuracy";
    const metric = LAB.metrics[behind];
    const curvesBehind = view.curveLines(behind);
    const top = metric.top ?? Math.max(1e-9, ...curvesBehind.flatMap(({ curve }) => curve?.values ?? []));
    c.globalAlpha = 0.55;
    for (const { name, colours, curve } of curvesBehind) {
      if (!curve) continue;
      const last = run.about.epochs || 1;
      const points = curve.epochs.map((e, i) => [x((e / last) * high), 4 + (floor - 6) * (1 - curve.values[i] / top)]);
      surface.line(points, colours[dark], name === view.bold() ? 2.4 : 1.3);
    }
    c.globalAlpha = 1;
    surface.line([[TRACK, floor + 4], [surface.width - TRACK, floor + 4]], theme.faint, 4);
    const held = run.frames.get(view.scene.sides[0][1]);
    for (const at of steps) {
      c.fillStyle = held?.has(at) ? theme.ink : theme.faint;
      c.globalAlpha = 0.7;
      c.fillRect(x(at) - 1, floor + 1, 2, 6);
    }
    c.globalAlpha = 1;
    c.globalAlpha = 0.5;
    if (curvesBehind.some(({ curve }) => curve)) surface.words(metric.short, TRACK, 0, { base: "top" });
    c.globalAlpha = 1;
    if (step === null) return;
    const at = x(view.timeShown());
    surface.line([[at, 2], [at, floor + 4]], theme.ink, 1.5);
    c.fillStyle = theme.ink;
    c.beginPath();
    c.arc(at, floor + 4, 7, 0, 7);
    c.fill();
  }
}
