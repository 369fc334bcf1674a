// Panels of the playground: title, equation with live values, picture, a line of words.

/** Return a number for people: `form` is "4f", "+4f" with a sign, or "1e" with two digits. */
export function figureOf(value, form) {
  if (value === null || value === undefined) return "…";
  if (!Number.isFinite(value)) return "–";
  if (form === "1e") return Math.abs(value) < 1e-3 ? shown(value) : short(Number(value.toPrecision(2)));
  const text = value.toFixed(Number.parseInt(form.replace("+", ""), 10));
  const plain = Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
  return form.startsWith("+") && Number(text) >= 0 ? `+${plain}` : plain;
}

/** A row of numbers, each with its meaning on a click. */
export class NumberRow {
  constructor(numbers, explain, label) {
    this.numbers = numbers;
    this.cells = {};
    const cells = Object.entries(numbers).map(([name, { label: words, meaning }]) => {
      const cell = make("dd", { "data-number": name }, "…");
      this.cells[name] = cell;
      return make("div", {}, make("dt", {}, make("button", { type: "button", class: "term", title: meaning, onclick: (event) => explain(event.target, meaning) }, words)), cell);
    });
    this.element = make("dl", { class: "facts", "aria-label": label }, ...cells);
  }

  show(values) {
    for (const [name, cell] of Object.entries(this.cells)) setText(cell, figureOf(values[name], this.numbers[name].form));
  }
}

/** One panel. `picture` draws a content; `tools` are more elements of its header. */
export class Board {
  constructor(name, play, tools = []) {
    Object.assign(this, { name, play });
    this.title = make("h3");
    this.equation = make("div", { class: "equation" });
    this.canvas = make("canvas", { role: "img" });
    this.words = make("p", { class: "hint" });
    const help = make("button", { type: "button", title: "How to read this", "aria-label": "How to read this", onclick: (event) => play.explain(event.target, this.about.help) }, "?");
    this.element = make("section", { class: `panel board ${name}`, role: "group" },
      make("header", {}, this.title, ...tools, make("span", { class: "tools" }, help)),
      this.equation, make("div", { class: "picture" }, this.canvas), this.words);
    this.surface = new Surface(this.canvas);
  }

  /** Draw: `key` names the words of the board, `values` stand in its equation; `old` is a picture
   *  of what was before, which is dimmed. While `stamp` is the same, nothing is painted. */
  draw(theme, { key, note, picture, content, ready, old, values, solver, words, stamp }) {
    this.about = LAB.playground.boards[key];
    put(this.title, this.about.title, note ?? "");
    this.element.setAttribute("aria-label", this.about.title);
    this.typeset(this.about.equations[solver] ?? this.about.equations[""], values);
    const { clientWidth, clientHeight } = this.canvas;
    const now = [stamp, key, theme.ink, clientWidth, clientHeight, window.devicePixelRatio].join("|");
    if (now === this.stamped) return;
    this.stamped = now;
    this.canvas.style.opacity = old ? "0.3" : "1";
    const drawable = this.surface.begin(theme);
    if (drawable && ready) picture.draw(this.surface, content);
    if (drawable && !ready) this.surface.words("…", clientWidth / 2, clientHeight / 2, { align: "center" });
    setText(this.words, ready ? words(content) : "");
    this.describe(ready ? picture.words?.(content) ?? words(content) : "Nothing to show yet.");
  }

  typeset(mathml, values) {
    if (this.typed !== mathml) {
      this.equation.innerHTML = mathml ?? "";
      this.typed = mathml;
      this.slots = [...this.equation.querySelectorAll("[data-value]")];
    }
    for (const slot of this.slots) setText(slot, figureWhole(values[slot.dataset.value], slot.dataset.form));
  }

  /** Describe the picture to those who do not see it, once it stands still. */
  describe(text) {
    clearTimeout(this.describeTimer);
    this.describeTimer = setTimeout(() => this.canvas.setAttribute("aria-label", `${this.about.title}. ${text}`), 250);
  }
}

/** Return a number of an equation: as few digits as it has, or as many as the form says. */
function figureWhole(value, form) {
  if (value === null || value === undefined) return "…";
  return form === "g" ? shown(value, "g") : figureOf(value, form);
}
