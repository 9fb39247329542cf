// Server-sent events over fetch (EventSource cannot send an Authorization header): the parser of
// the HTML standard, section 9.2.6, and a connection that resumes where it was cut.

const SILENCE = 35_000; // milliseconds; the server sends a ping every ten seconds
const LONGEST_WAIT = 15_000;
const LONGEST_EVENT = 4 * 1024 * 1024; // characters; a larger one is not ours

/** Feed text to `push`; `onEvent({type, id, data})` is called for each complete event. */
export class EventParser {
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = "";
    this.lastId = "";
    this.#clear();
  }

  push(text) {
    this.rest += text;
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    for (const line of lines) this.#line(line);
    if (this.rest.length + this.data.length > LONGEST_EVENT) throw new Error("event too long");
  }

  #clear() {
    this.type = "";
    this.data = "";
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data += `${value}\n`;
    else if (field === "event") this.type = value;
    else if (field === "id" && !value.includes("\0")) this.lastId = value;
    return undefined;
  }

  #dispatch() {
    const { type, data } = this;
    this.#clear();
    if (data) this.onEvent({ type: type || "message", id: this.lastId, data: data.slice(0, -1) });
  }
}

/**
 * Keep a stream open until `stop()`.
 *
 * `open(lastId, signal)` resolves to a streaming Response; `onEvent` gets each event; `onState`
 * gets "connecting", "connected" or "reconnecting"; `onProblem` gets a refusal that trying again
 * cannot mend (any 4xx but 408 and 429), after which the stream has stopped.
 */
export class EventStream {
  constructor({ open, onEvent, onState, onProblem }) {
    Object.assign(this, { open, onEvent, onState, onProblem });
    this.lastId = "";
    this.stopped = new AbortController();
  }

  async run() {
    let wait = 500;
    this.onState("connecting");
    while (!this.stopped.signal.aborted) {
      try {
        await this.#connection(() => { wait = 500; });
      } catch (problem) {
        if (this.stopped.signal.aborted) return;
        if (isFinal(problem)) {
          this.onProblem(problem);
          return;
        }
      }
      if (this.stopped.signal.aborted) return;
      this.onState("reconnecting");
      await this.#pause(wait / 2 + Math.random() * (wait / 2));
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  }

  stop() {
    this.stopped.abort();
  }

  async #connection(onFirst) {
    const cut = new AbortController();
    const signal = AbortSignal.any([cut.signal, this.stopped.signal]);
    const response = await this.open(this.lastId, signal);
    this.onState("connected");
    const parser = new EventParser((event) => {
      this.lastId = event.id || this.lastId;
      this.onEvent(event);
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const watchdog = setTimeout(() => cut.abort(), SILENCE);
      const { done, value } = await reader.read().finally(() => clearTimeout(watchdog));
      if (done) return;
      onFirst();
      parser.push(value);
    }
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.stopped.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

function isFinal(problem) {
  const status = problem.status ?? 0;
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}
