// The view on a page of Streamlit: passes packets to the view, and its messages on, one by one.
// A message waits until the page has answered the one before: what comes twice within one run of
// a page's script would be heard once.

const views = new WeakMap();
export default function ({ data, parentElement, setTriggerValue }) {
  let held = views.get(parentElement);
  if (!held) {
    const waiting = [];
    let number = 0, sent = 0, at = 0;
    const flush = () => {
      if (!waiting.length || (sent && performance.now() - at < 3000)) return;
      number += 1; sent = number; at = performance.now();
      setTriggerValue("said", { number, messages: waiting.splice(0) });
    };
    const say = (message) => {
      const same = waiting.findIndex(({ kind }) => kind === "scene" && message.kind === "scene");
      if (same >= 0) waiting.splice(same, 1);
      waiting.push(message);
      flush();
    };
    const timer = setInterval(flush, 250);
    held = { heard(about) { if (about.heard >= sent) { sent = 0; flush(); } }, timer, say };
    views.set(parentElement, held);
  }
  if (!data) return;
  const { about, parts } = unpack(data);
  if (!held.view) {
    const setup = parts.find(({ kind }) => kind === "setup");
    if (!setup) { held.say({ kind: "hello" }); return; }
    const make = setup.playground ? mountPlayground : mount;
    const host = { kind: "streamlit", can: setup.can, say: held.say };
    held.view = make(parentElement, host, setup.scene);
  }
  held.heard(about);
  held.view.receive(data);
  return () => { clearInterval(held.timer); held.view.destroy(); views.delete(parentElement); };
}
