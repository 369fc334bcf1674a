// The view in a notebook: packets come as messages with bytes, the view's messages go back. It
// stands in a shadow root, so that its style and that of the notebook leave each other alone.

const NOTEBOOK_STYLE = ":host { font-family: var(--jp-ui-font-family, system-ui, sans-serif); min-height: 3em; }";

function render({ model, el }) {
  const root = el.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(model.get("_sheet") + NOTEBOOK_STYLE);
  root.adoptedStyleSheets = [sheet];
  const waiting = make("p", {}, "Waiting for the kernel.");
  root.append(waiting);
  let view = null;
  let number = 0;
  const say = (message) => {
    number += 1;
    model.send({ number, messages: [message] });
  };
  const take = (content, [buffer]) => {
    const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    const setup = view ? null : unpack(bytes).parts.find(({ kind }) => kind === "setup");
    if (setup) {
      waiting.remove();
      view = mount(root, { kind: "notebook", can: setup.can, say }, setup.scene);
      window.addEventListener("keydown", keep, true);
    }
    view?.receive(bytes);
  };
  // Keys without Ctrl, Alt or Meta that are pressed in the view are not commands of the notebook.
  const keep = (event) => {
    const alone = !event.ctrlKey && !event.altKey && !event.metaKey && (!event.shiftKey || event.key.length === 1);
    if (alone && event.composedPath().includes(el)) event.stopImmediatePropagation();
  };
  model.on("msg:custom", take);
  say({ kind: "hello" });
  return () => {
    model.off("msg:custom", take);
    window.removeEventListener("keydown", keep, true);
    view?.destroy();
  };
}

export default { render };
