// What the view and the playground share: packets that are taken in order, and words beside a button.

export class Screen {
  /** Take a packet of bytes: its parts go to `takeParts(parts, fresh)`, where `fresh` says that a feed
   *  begins. A packet that was taken before changes nothing; after a missed one, "hello" asks
   *  the host to begin again. */
  receive(bytes) {
    let packet;
    try {
      packet = unpack(bytes);
    } catch (error) {
      this.alert.textContent = error.message;
      return;
    }
    const { feed, number } = packet.about;
    const fresh = feed !== this.feed;
    if (!fresh && number <= this.number) return;
    if (number !== (fresh ? 1 : this.number + 1)) {
      if (this.greeted !== feed) this.host.send({ kind: "hello" });
      this.greeted = feed;
      return;
    }
    Object.assign(this, { feed, number });
    this.takeParts(packet.parts, fresh);
  }

  /** Open words, or other elements, beside an element. */
  explain(near, ...content) {
    this.bubble.replaceChildren(...content.map((part) => (typeof part === "string" ? make("p", {}, part) : part)));
    this.bubble.classList.add("open");
    this.bubble.style.maxHeight = `${window.innerHeight - this.ceiling() - 8}px`;
    const box = near.getBoundingClientRect();
    this.putNear(this.bubble, box.left - 8, box.bottom + 6);
    this.explained = near;
    this.bubble.querySelector("input:not(:disabled)")?.focus();
  }

  hideBubble() {
    this.bubble.classList.remove("open");
  }

  /** The highest place of the window that nothing of the page covers. */
  ceiling() {
    const header = this.element.classList.contains("stage") ? null : document.querySelector("[data-testid=stHeader]");
    return 4 + Math.max(0, header?.getBoundingClientRect().bottom ?? 0);
  }

  /** Put an element at a place of the window, or where it is seen whole. */
  putNear(element, x, y) {
    const box = this.element.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = element;
    const left = Math.max(4, Math.min(x, window.innerWidth - width - 8, box.right - width - 4) - box.left);
    const ceiling = this.ceiling();
    const top = (y + height > window.innerHeight - 4 ? Math.max(ceiling, y - height - 28) : y) - box.top;
    element.style.left = `${left}px`;
    element.style.top = `${top}px`;
  }
}
