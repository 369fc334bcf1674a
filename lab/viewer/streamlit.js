// The view on a page of Streamlit: passes packets to the view, and its messages to the page.
// Messages are sent together and sent again until a packet says that the page has heard them:
// what comes while a page's script is being run anew can be lost.

const AGAIN = 2500; // milliseconds
const mounted = new WeakMap();

class Post {
  constructor() {
    this.name = Math.random().toString(36).slice(2, 8);
    this.count = 0;
    this.waiting = [];
    this.sent = null;
    this.timer = setInterval(() => this.flush(), 250);
    this.say = (message) => {
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
    this.send({ ...this.sent, at: this.at });
  }

  heard(number) {
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
  held.post.send = (message) => setTriggerValue("said", message);
  if (!data) return undefined;
  const { about, parts } = unpack(data);
  if (!held.view) {
    const setup = parts.find(({ kind }) => kind === "setup");
    const make = setup.playground ? mountPlayground : mount;
    held.view = make(parentElement, { kind: "streamlit", can: setup.can, say: held.post.say }, setup.scene);
  }
  held.post.heard(about.heard);
  held.view.receive(data);
  return () => {
    clearInterval(held.post.timer);
    held.view.destroy();
    mounted.delete(parentElement);
  };
}
