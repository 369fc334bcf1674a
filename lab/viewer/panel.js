// One panel: title, equation with live values, canvas, numbers, what to look for now.

const PICTURES = () => ({ plan, scores, map, lines, cosines, difference, answers, accuracy: curves, losses: curves, measures: curves });
const OF_TWO = ["difference", "answers"];
const OF_CURVES = ["accuracy", "losses", "measures"];
const CLICK = 4; // pixels that a click may wander

export class Panel {
  /** `id` is the panel's name, and the side where there are several: "plan@1". */
  constructor(id, view) {
    const [name, side = "0"] = id.split("@");
    const fixed = name.startsWith("curve:") ? name.slice(6) : null; // one metric, not to be chosen
    const about = fixed ? { ...LAB.panels.measures, title: capital(LAB.metrics[fixed].label), help: LAB.metrics[fixed].meaning } : LAB.panels[name];
    Object.assign(this, { id, view, name: fixed ? "measures" : name, fixed, side: Number(side), about, kind: PICTURES()[fixed ? "measures" : name] });
    this.title = make("h3");
    this.tools = make("span", { class: "tools" }, ...this.buttons());
    this.equation = make("div", { class: "equation" });
    this.canvas = make("canvas", { role: "img", class: this.kind?.hit ? "picks" : null });
    this.facts = make("dl", { class: "facts" });
    this.hint = make("p", { class: "hint" });
    this.choice = ["losses", "measures"].includes(name) ? this.chooser() : null;
    this.element = make("section", { class: `panel ${this.name}`, "data-panel": id, role: "group" },
      make("header", {}, this.title, this.choice, this.tools), this.equation);
    if (name === "card") {
      const body = make("div", { class: "card-body" });
      this.element.append(body);
      this.card = new Card(body);
    } else {
      this.element.append(make("div", { class: "picture" }, this.canvas), this.facts, this.hint);
      this.surface = new Surface(this.canvas);
      this.listen();
    }
    this.memory = {}; // what a picture keeps from one drawing to the next
    this.canvas.memory = this.memory;
  }

  buttons() {
    const { view, about, name } = this;
    const button = (text, title, onclick) => make("button", { type: "button", title, "aria-label": `${title}: ${about.title}`, onclick }, text);
    return [
      button("?", "How to read this", (event) => view.explain(event.target, `${about.help} ${about.picks}`)),
      about.section && view.host.can.why ? button("why", `The section “${about.section.heading}” of ${about.section.notebook}`, () => view.host.send({ kind: "why", panel: name })) : null,
      name !== "card" ? button("↧", "Take this picture away", () => view.exportPanel(this)) : null,
      name !== "card" && view.host.can.present !== false ? button("⇲", "Show on the whole screen", () => view.present(view.scene.present ? null : this.id)) : null,
    ].filter(Boolean);
  }

  chooser() {
    const key = this.name === "losses" ? "loss" : "measure";
    return make("select", { "aria-label": `Which ${key} is drawn`, onchange: (event) => this.view.set({ [key]: event.target.value }) });
  }

  metric() {
    const { scene } = this.view;
    if (this.fixed) return this.fixed;
    return { accuracy: this.view.main()?.status?.result ?? "test_accuracy", losses: scene.loss, measures: scene.measure }[this.name];
  }

  /** Return what a picture is drawn from now. */
  contentNow() {
    const { view, name } = this;
    const content = Object.assign(this.memory, view.contentOf(OF_TWO.includes(name) || OF_CURVES.includes(name) ? 0 : this.side));
    content.selected = view.scene.selected;
    content.hover = view.hoverIn(this);
    content.scale = view.scale();
    if (OF_TWO.includes(name)) {
      content.sides = view.scene.sides.map((_, side) => view.contentOf(side));
      content.frames = content.sides.map(({ frame }) => frame);
    }
    if (OF_CURVES.includes(name)) {
      const metric = this.metric();
      content.metric = content.run.about?.words[metric] ?? LAB.metrics[metric] ?? { label: metric, form: "3f" };
      content.lines = view.curveLines(metric);
      content.bold = view.bold();
      content.curveOf = metric;
      content.last = Math.max(...view.scene.sides.map(([run]) => view.store.run(run).about?.epochs ?? 0));
      content.epoch = view.scene.step === null && !view.playing ? null : content.frame?.epoch ?? null;
    }
    content.limits = view.sharedLimits(this);
    content.facing = name === "map" && view.scene.letters && this.side ? view.contentOf(0) : null;
    return content;
  }

  ready(content) {
    if (OF_TWO.includes(this.name)) return !this.view.unpaired && content.frames.length === 2 && content.frames.every(Boolean) && content.frames[0].n === content.frames[1].n;
    if (OF_CURVES.includes(this.name)) return Boolean(content.run.about);
    return Boolean(content.frame && content.run.labels);
  }

  /** Say what would change the picture: nothing is drawn again while this is the same. */
  stamp(content, theme) {
    const frames = (content.frames ?? [content.frame]).map((frame) => frame && `${frame.run}/${frame.arm}@${frame.step}`);
    const moving = this.kind?.glides ? `${content.next?.step}:${content.mix.toFixed(3)}:${content.run.maps.get(content.arm)?.size}` : "";
    const lines = OF_CURVES.includes(this.name) ? `${this.view.store.changes}:${content.epoch}` : "";
    const images = this.card ? `${this.view.store.changes}` : "";
    return [frames, moving, lines, images, content.selected, JSON.stringify(content.hover ?? 0), theme.ink, content.scale, this.view.sizes, this.view.scene.present, content.limits, window.devicePixelRatio].join("|");
  }

  draw(theme) {
    const content = this.contentNow();
    const { view } = this;
    const problem = (OF_TWO.includes(this.name) && view.unpaired) || view.problemOf(content);
    this.element.classList.toggle("hidden", this.name === "card" && (!content.selected.length || !content.frame));
    if (this.name === "card" && (!content.selected.length || !content.frame || !content.run.labels)) return;
    if (!this.ready(content)) {
      this.stamped = null;
      this.writeTitle(content);
      this.hint.textContent = problem || "Waiting for the first picture.";
      this.surface?.begin(theme, content.scale);
      return;
    }
    const stamp = this.stamp(content, theme);
    if (stamp === this.stamped) return;
    this.stamped = stamp;
    content.theme = theme;
    this.writeTitle(content);
    if (this.card) {
      if (!content.run.images.requested) view.requestImages(content.run);
      this.card.draw(content);
      return;
    }
    if (this.surface.begin(theme, content.scale)) this.kind.draw(this.surface, content);
    this.write(content, problem);
  }

  writeTitle(content) {
    const { view, name, about } = this;
    const several = view.scene.sides.length > 1 && !OF_TWO.includes(name) && !OF_CURVES.includes(name);
    const letter = several && view.scene.letters ? `${"AB"[this.side]} · ` : "";
    const other = name === "accuracy" && this.metric() !== "test_accuracy"; // no classes: another result
    let title = other ? capital(LAB.metrics[this.metric()].label) : about.title;
    if (name === "scores" && content.frame && !content.frame.critic) title = "Cosines: no critic";
    let note = OF_CURVES.includes(name) || OF_TWO.includes(name) || name === "card" ? "" : content.label ?? "";
    if (name === "map" && content.frame) {
      note += ` · ${content.method === "UMAP" ? "UMAP" : content.run.status?.maps_working ? "PCA, UMAP is coming" : "PCA"}`;
      if (content.frame.fitted) note += ", fitted";
    }
    put(this.title, `${letter}${title}`, note);
    this.element.setAttribute("aria-label", `${letter}${title}${note ? `, ${note}` : ""}`);
    if (this.choice) {
      const names = this.name === "losses" ? content.run.about?.losses : content.run.about?.measures;
      if (names && this.choice.options.length !== names.length) {
        this.choice.replaceChildren(...names.map((key) => make("option", { value: key }, content.run.about.words[key].label)));
      }
      this.choice.value = this.metric();
    }
  }

  write(content, problem) {
    const { view, name, about } = this;
    const values = { ...content.frame?.values };
    if (OF_CURVES.includes(name)) {
      const metric = this.metric();
      values[metric] = view.valueAt(content, metric);
      this.typeset(content.run.about.definitions[metric], "", values);
      const line = content.lines.find((one) => one.name === content.bold) ?? content.lines[0];
      const where = standing(line?.curve?.values ?? []);
      if (view.scene.letters) setText(this.hint, curves.words(content));
      else setText(this.hint, where ? `${line.label} stands at ${shown(where.now, content.metric.form)} and ${where.way}.` : "Not measured in this run.");
      this.describe(curves.words(content));
      return;
    }
    const key = name === "scores" && !content.frame.critic ? "cosines" : name === "lines" ? "plan" : name;
    const equation = content.run.arm(content.arm)?.equations[key];
    if (equation && !OF_TWO.includes(name) && !(name === "cosines")) this.typeset(equation[0], equation[1], values);
    this.writeFacts(values);
    const words = this.kind.words?.(content) ?? content.frame.words[name];
    setText(this.hint, problem || (this.kind.words ? words : content.frame.hints[name] ?? about.help));
    this.describe(words);
  }

  typeset(mathml, words, values) {
    if (this.typed !== mathml) {
      this.equation.innerHTML = mathml;
      this.equation.title = words;
      this.typed = mathml;
      this.slots = [...this.equation.querySelectorAll("[data-value]")];
    }
    for (const slot of this.slots) setText(slot, shown(values[slot.dataset.value], slot.dataset.form));
  }

  writeFacts(values) {
    const names = this.about.facts.filter((name) => name !== "true_partner_mass" || name in values);
    if (this.factNames !== names.join()) {
      this.factNames = names.join();
      this.facts.replaceChildren(...names.map((name) => {
        const { short: label, meaning } = LAB.metrics[name];
        return make("div", {}, make("dt", {}, make("button", { type: "button", class: "term", title: meaning, onclick: (event) => this.view.explain(event.target, meaning) }, label)), make("dd", { "data-fact": name }));
      }));
      this.numbers = names.map((name) => [name, this.facts.querySelector(`[data-fact="${name}"]`)]);
    }
    for (const [name, element] of this.numbers) setText(element, shown(values[name], LAB.metrics[name].form));
  }

  /** Describe the picture to those who do not see it, once it stands still. */
  describe(words) {
    this.words = words;
    clearTimeout(this.describeTimer);
    this.describeTimer = setTimeout(() => this.canvas.setAttribute("aria-label", words), 250);
  }

  listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const hit = (event) => {
      const { x, y } = at(event);
      return this.stamped && this.kind.hit ? this.kind.hit(this.memory, x, y) : null;
    };
    canvas.addEventListener("pointerdown", (event) => {
      this.pressed = at(event);
      if (this.kind.brush) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = at(event);
      if (this.pressed && this.kind.brush && wandered(this.pressed, now)) this.drawBrush(now);
      else this.view.hover(this, hit(event), event);
    });
    canvas.addEventListener("pointerleave", () => this.view.hover(this, null));
    canvas.addEventListener("pointerup", (event) => {
      const [from, to] = [this.pressed, at(event)];
      this.pressed = null;
      this.brush?.remove();
      this.brush = null;
      if (!from || !this.stamped) return;
      if (this.kind.brush && wandered(from, to)) this.view.select(this.kind.brushed(this.memory, from, to));
      else if (this.kind.hit && !OF_CURVES.includes(this.name)) this.view.select(hit(event)?.samples ?? [], event.shiftKey || event.ctrlKey || event.metaKey);
    });
  }

  drawBrush(now) {
    this.brush ??= this.canvas.parentElement.appendChild(make("div", { class: "brush" }));
    const whole = this.kind.brush === "range";
    const { style } = this.brush;
    style.left = `${Math.min(now.x, this.pressed.x)}px`;
    style.width = `${Math.abs(now.x - this.pressed.x)}px`;
    style.top = whole ? "0" : `${Math.min(now.y, this.pressed.y)}px`;
    style.height = whole ? "100%" : `${Math.abs(now.y - this.pressed.y)}px`;
  }
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function wandered(from, to) {
  return Math.hypot(from.x - to.x, from.y - to.y) > CLICK;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function put(title, name, note) {
  const text = `${name}\u0000${note}`;
  if (title.shown === text) return;
  title.shown = text;
  title.replaceChildren(make("b", {}, name), ...(note ? [make("span", { class: "note" }, note)] : []));
}
