// The view on a page of Streamlit: passes packets to the view, and its messages to the page.
// Messages are sent together and sent again until a packet acknowledges them:
// a message that comes while the script of the page runs can be lost.
//
// Streamlit sends the code of a component with every packet. So this is all of it; the view itself
// comes once, as bytes in the part "setup" of the first packet.

const AGAIN = 2500; // milliseconds
const mounted = new WeakMap();
let viewer = null; // the module of the view, once it has come

class Post {
  constructor() {
    this.name = Math.random().toString(36).slice(2, 8);
    this.count = 0;
    this.waiting = [];
    this.sent = null;
    this.timer = setInterval(() => this.flush(), 250);
    this.send = (message) => {
      if (message.kind === "scene") this.waiting = this.waiting.filter(({ kind }) => kind !== "scene");
      this.waiting.push(message);
      this.flush();
    };
  }

  flush() {
    if (!this.sent && this.waiting.length) {
      this.count += 1;
      this.sent = { number: `${this.name}-${this.count}`, messages: this.waiting.splice(0) };
      this.at = 0;
    }
    if (!this.sent || performance.now() - this.at < AGAIN) return;
    this.at = performance.now();
    this.deliver({ ...this.sent, at: this.at });
  }

  acknowledge(number) {
    if (number !== this.sent?.number) return;
    this.sent = null;
    this.flush();
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  let held = mounted.get(parentElement);
  if (!held) {
    held = { post: new Post() };
    mounted.set(parentElement, held);
  }
  held.post.deliver = (message) => setTriggerValue("message", message);
  if (data) take(held, data, parentElement);
  return () => {
    clearInterval(held.post.timer);
    held.view?.destroy();
    mounted.delete(parentElement);
  };
}

/** Give a packet to the view; make the view first, or wait for it. */
function take(held, data, root) {
  const { about, parts, body } = headerOf(data);
  held.post.acknowledge(about.acknowledged);
  const setup = parts.find(({ kind }) => kind === "setup");
  if (!held.view && !viewer && !setup.arrays.script) {
    held.post.send({ kind: "hello" });
    return;
  }
  if (!viewer) {
    const [, [length], offset] = setup.arrays.script;
    const code = new Blob([data.slice(body + offset, body + offset + length)], { type: "text/javascript" });
    viewer = import(URL.createObjectURL(code));
  }
  held.last = (held.last ?? viewer).then(async () => {
    if (mounted.get(root) !== held) return; // it was taken away, perhaps for another in the same place
    if (!held.view) {
      const { mount, mountPlayground } = await viewer;
      const host = { kind: "streamlit", can: setup.can, send: held.post.send };
      held.view = (setup.playground ? mountPlayground : mount)(root, host, setup.scene);
    }
    held.view.receive(data);
  });
}

/** Return the header of a packet (see `frames.py`) and where its arrays begin. */
function headerOf(data) {
  const body = 12 + new DataView(data.buffer, data.byteOffset).getUint32(8, true);
  return { ...JSON.parse(new TextDecoder().decode(data.subarray(12, body))), body };
}
