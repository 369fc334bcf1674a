// Editing two clouds in their picture: by pointer, by finger and by keyboard.

const NEAR_MOUSE = 12; // CSS pixels around a point that count as the point
const NEAR_FINGER = 20;
const WANDER = 4; // pixels that a click may wander
const NUDGE = 0.1; // how far an arrow key moves a point
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Listens on the canvas of the clouds; `play` is the playground. */
export class CloudCanvas {
  constructor(canvas, play) {
    Object.assign(this, { canvas, play, press: null, focus: null, nudged: "" });
    const on = (name, listener, options) => canvas.addEventListener(name, (event) => this.play.drawable && listener(event), options);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", () => { this.press = null; });
    on("pointerleave", () => this.play.hover(null));
    on("keydown", (event) => this.key(event));
    on("blur", () => this.focusOn(null));
    // A finger on a point drags it; beside the points it scrolls the page.
    on("touchstart", (event) => { if (this.hit(this.at(event.touches[0]), NEAR_FINGER)) event.preventDefault(); }, { passive: false });
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  hit({ x, y }, within) {
    return cloudsPicture.hit(this.play.contents.clouds, x, y, within);
  }

  down(event) {
    if (event.button) return;
    const at = this.at(event);
    const hit = this.hit(at, event.pointerType === "touch" ? NEAR_FINGER : NEAR_MOUSE);
    const whole = event.shiftKey;
    this.press = { at, last: at, hit, whole, dragged: false, cloud: hit?.cloud ?? this.play.adding };
    this.canvas.setPointerCapture(event.pointerId);
    this.play.hover(null);
  }

  move(event) {
    const at = this.at(event);
    const { press, play } = this;
    if (!press) {
      const hit = this.hit(at, NEAR_MOUSE);
      this.canvas.classList.toggle("grabs", Boolean(hit));
      play.hover(hit, event);
      return;
    }
    if (!press.hit && !press.whole) return;
    if (!press.dragged && Math.hypot(at.x - press.at.x, at.y - press.at.y) <= WANDER) return;
    if (!press.dragged) play.clouds.remember();
    press.dragged = true;
    this.nudged = "";
    const { place } = play.contents.clouds;
    if (press.whole) {
      const up = place.flat ? 0 : (press.last.y - at.y) / place.unit;
      play.clouds.shift(press.cloud, (at.x - press.last.x) / place.unit, up);
    } else {
      const [x, y] = place.pointAt(at.x, at.y);
      const height = place.flat ? play.points[press.cloud][press.hit.place][1] : y;
      play.clouds.moveTo(press.cloud, press.hit.place, [x, height]);
    }
    press.last = at;
    play.dragging = press.hit;
    play.begin("points");
  }

  up(event) {
    const { press, play } = this;
    this.press = null;
    play.dragging = null;
    if (!press) return;
    if (press.dragged) {
      play.reportScene();
      return;
    }
    const { place } = play.contents.clouds;
    const { x, y } = this.at(event);
    if (press.whole) return;
    if (press.hit) this.remove(press.hit);
    else if (place.holds(x, y)) this.add(place.flat ? place.cloudAt(y) : play.adding, place.pointAt(x, y));
  }

  add(cloud, point) {
    const { play } = this;
    const before = play.clouds.state();
    const place = play.clouds.add(cloud, point);
    if (place < 0) play.warn(`The ${cloud} has ${LAB.playground.most} points, which is the most that can be drawn.`);
    else this.edited(before);
    return place;
  }

  remove({ cloud, place }) {
    const { play } = this;
    const before = play.clouds.state();
    if (!play.clouds.remove(cloud, place)) play.warn(`The ${cloud} keeps at least one point.`);
    else this.edited(before);
  }

  edited(before) {
    this.nudged = "";
    this.play.clouds.history.push(before);
    this.play.begin("points");
    this.play.reportScene();
  }

  // ------------------------------------------------------------------------------------ by keyboard

  focusOn(focus) {
    this.focus = focus;
    this.play.redraw();
    if (focus) this.play.announce(this.play.wordsOf(focus));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = this.actionOf(event);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  actionOf(event) {
    const { focus } = this;
    const step = ARROWS[event.key];
    if (step && event.shiftKey) return focus && (() => this.nudge(step));
    if (step) return () => this.focusOn(step[0] ? this.beside(step[0]) : this.across());
    return {
      Home: () => this.focusOn(this.endOf(0)),
      End: () => this.focusOn(this.endOf(-1)),
      Enter: () => this.addBeside(),
      Insert: () => this.addBeside(),
      Delete: focus && (() => this.removeFocused()),
      Backspace: focus && (() => this.removeFocused()),
      Escape: focus && (() => this.focusOn(null)),
    }[event.key];
  }

  /** The first or the last point of the cloud in focus, from the left. */
  endOf(which) {
    const cloud = this.focus?.cloud ?? this.play.adding;
    return { cloud, place: fromLeft(this.play.points[cloud]).at(which) };
  }

  /** The next point to the left or to the right in the same cloud. */
  beside(step) {
    if (!this.focus) return this.endOf(step > 0 ? 0 : -1);
    const { cloud, place } = this.focus;
    const order = fromLeft(this.play.points[cloud]);
    return { cloud, place: order[Math.min(Math.max(order.indexOf(place) + step, 0), order.length - 1)] };
  }

  /** The nearest point of the other cloud. */
  across() {
    if (!this.focus) return this.endOf(0);
    const { points } = this.play;
    const [x, y] = points[this.focus.cloud][this.focus.place];
    const cloud = otherCloud(this.focus.cloud);
    const gaps = points[cloud].map(([u, v]) => Math.hypot(u - x, v - y));
    return { cloud, place: gaps.indexOf(Math.min(...gaps)) };
  }

  nudge([right, up]) {
    const { play, focus } = this;
    const { reach, flat } = play.contents.clouds;
    const [x, y] = play.points[focus.cloud][focus.place];
    const within = (value) => Math.min(Math.max(value, -reach), reach);
    const key = `${focus.cloud} ${focus.place}`;
    if (this.nudged !== key) play.clouds.remember();
    this.nudged = key;
    play.clouds.moveTo(focus.cloud, focus.place, [within(x + NUDGE * right), flat ? y : within(y + NUDGE * up)]);
    play.begin("points");
    play.reportScene();
    play.announce(play.wordsOf(focus));
  }

  addBeside() {
    const cloud = this.focus?.cloud ?? this.play.adding;
    const [x, y] = this.focus ? this.play.points[cloud][this.focus.place] : [0, 0];
    const { reach } = this.play.contents.clouds;
    const place = this.add(cloud, [x + 2 * NUDGE > reach ? x - 2 * NUDGE : x + 2 * NUDGE, y]);
    if (place >= 0) this.focusOn({ cloud, place });
  }

  removeFocused() {
    const { cloud, place } = this.focus;
    this.remove({ cloud, place });
    const left = this.play.points[cloud].length;
    this.focusOn({ cloud, place: Math.min(place, left - 1) });
  }
}
