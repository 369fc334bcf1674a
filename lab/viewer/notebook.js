// The view in a notebook: packets come as messages with bytes, the view's messages go back. It
// stands in a shadow root, so that its style and that of the notebook leave each other alone.

const NOTEBOOK_STYLE = `
:host { font-family: var(--jp-ui-font-family, system-ui, sans-serif); }
.view.notebook:not(.stage) .panels { grid-auto-rows: auto; }
.view.notebook:not(.stage) .panel:not(.card) { height: 430px; }
@container (min-width: 621px) and (max-width: 1300px) {
  .view.notebook:not(.stage) .panels:not([data-count="1"]) > .panel:not(.card) { grid-column: span 6; }
}
.view.stage[popover] { width: auto; height: auto; margin: 0; border: 0; }
`;

const DAMAGED_PACKET = "A packet was damaged on its way: run the cell again.";

/** Return the parts of the first packet. Throws an Error with words for the reader. */
function firstParts(bytes) {
  const version = versionOf(bytes);
  if (version !== null && version !== LAB.version) {
    throw new Error(`The view reads frames of version ${LAB.version}, the kernel sends version ${version}: restart the kernel, and load the page again.`);
  }
  try {
    return unpack(bytes).parts;
  } catch {
    throw new Error(DAMAGED_PACKET);
  }
}

/** Show the view above all else while one of its panels is on the whole screen: a cell of a notebook
 *  cuts off what is larger than itself. */
function liftWhenStaged(element) {
  const staged = new MutationObserver(() => {
    const isStaged = element.classList.contains("stage");
    if (isStaged === element.hasAttribute("popover")) return;
    element.toggleAttribute("popover", isStaged);
    if (!isStaged) return;
    element.popover = "manual";
    element.showPopover();
  });
  staged.observe(element, { attributeFilter: ["class"] });
}

function render({ model, el }) {
  const root = el.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(model.get("_sheet") + NOTEBOOK_STYLE);
  root.adoptedStyleSheets = [sheet];
  const waiting = make("p", {}, "Waiting for the kernel. Where nothing comes, run the cell again.");
  root.append(waiting);
  let view = null;
  let number = 0;
  const send = (message) => {
    number += 1;
    model.send({ number, messages: [message] });
  };
  const take = (content, buffers) => {
    const buffer = buffers?.[0];
    const bytes = buffer ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) : new Uint8Array();
    let setup = null;
    try { // once there is a view, it says itself what is wrong
      setup = view ? null : firstParts(bytes).find(({ kind }) => kind === "setup");
    } catch (error) {
      waiting.textContent = error.message;
      return;
    }
    if (setup) {
      waiting.remove();
      view = mount(root, { kind: "notebook", can: setup.can, send }, setup.scene);
      liftWhenStaged(view.element);
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
  send({ kind: "hello" });
  return () => {
    model.off("msg:custom", take);
    window.removeEventListener("keydown", keep, true);
    view?.destroy();
  };
}

export default { render };
