// Questions of the playground to the page that holds it.

const ANSWER_WITHIN = 15000; // milliseconds before a question is sent again
const LATER = 1000; // the same, where the page cannot answer yet

/** Questions of one kind: one is under way at a time, and of those that wait only the newest. */
export class Question {
  constructor(kind, deliver) {
    Object.assign(this, { kind, deliver, number: 0, sent: null, next: null });
  }

  ask(message) {
    this.next = message;
    this.send();
  }

  send() {
    const now = performance.now();
    if (this.sent && now - this.at < ANSWER_WITHIN) return;
    const message = this.next ?? this.sent;
    if (!message) return;
    this.number += 1;
    Object.assign(this, { sent: message, next: null, at: now });
    this.deliver({ kind: this.kind, number: this.number, ...message });
  }

  /** Take an answer; return whether it is the one that is waited for. A page that cannot answer
   *  yet is asked again a little later. */
  answered(part) {
    if (part.later) {
      this.at = performance.now() + LATER - ANSWER_WITHIN;
      setTimeout(() => this.send(), LATER);
      return false;
    }
    if (part.number !== null && part.number !== undefined && part.number !== this.number) return false;
    this.sent = null;
    this.send();
    return true;
  }

  /** Whether the newest question has not been answered. */
  get open() {
    return Boolean(this.sent || this.next);
  }

  /** Forget the open question: another session answers now. */
  forget() {
    [this.sent, this.next] = [null, null];
  }
}
