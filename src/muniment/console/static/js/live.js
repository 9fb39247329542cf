// The live tail: rows as they are acknowledged and indexed, newest on top, bounded, with a state
// that can be seen.

import * as api from "./api.js";
import { byId } from "./dom.js";
import { EventStream } from "./sse.js";
import { counted } from "./text.js";

const MOST = 500; // lines kept on the page, and rows kept while paused

/** `hooks`: `list` (ResultList), `onRows(count)`, `onProblem(problem)`. */
export class LiveTail {
  constructor(hooks) {
    this.hooks = hooks;
    this.stream = null;
    this.waiting = [];
    this.missed = 0;
    this.paused = false;
    this.connection = "";
    byId("pause").addEventListener("click", () => this.toggle());
  }

  get running() {
    return this.stream !== null;
  }

  /** Begin; resolves once the tail is connected, or has failed to be for the first time. */
  start(log, q) {
    this.stop();
    let begun;
    const beginning = new Promise((resolve) => { begun = resolve; });
    const stream = new EventStream({
      open: (lastId, signal) => api.tail(log, { q }, lastId, signal),
      onEvent: (event) => { if (event.type === "entry") this.#take(event); },
      onState: (state) => {
        if (this.stream === stream) this.#state(state);
        if (state !== "connecting") begun();
      },
      onProblem: (problem) => {
        if (this.stream !== stream) return;
        this.stop();
        this.hooks.onProblem(problem);
        begun();
      },
    });
    this.stream = stream;
    byId("live").hidden = false;
    stream.run();
    return beginning;
  }

  stop() {
    this.stream?.stop();
    this.stream = null;
    this.waiting = [];
    this.missed = 0;
    this.paused = false;
    byId("live").hidden = true;
  }

  /** Pause, or go on: then what came meanwhile is shown. */
  toggle() {
    if (!this.running) return;
    this.paused = !this.paused;
    if (!this.paused) this.#flush();
    this.#state(this.connection);
  }

  #take(event) {
    let row;
    try {
      row = JSON.parse(event.data);
    } catch {
      return; // Not an event of ours; the next one may be.
    }
    this.waiting.push(row);
    if (this.waiting.length > MOST) {
      this.waiting.shift();
      this.missed += 1;
    }
    if (this.paused) this.#state(this.connection);
    else this.#soon();
  }

  #soon() {
    if (this.scheduled) return;
    this.scheduled = true;
    // A timer and not an animation frame: a tab in the background must go on taking rows.
    setTimeout(() => {
      this.scheduled = false;
      if (this.running && !this.paused) this.#flush();
    }, 80);
  }

  #flush() {
    const rows = this.waiting;
    this.waiting = [];
    this.missed = 0;
    if (rows.length) this.hooks.onRows(this.hooks.list.prepend(rows, MOST));
  }

  #state(state) {
    this.connection = state;
    const fresh = this.waiting.length + this.missed;
    const said = this.paused ? `Paused: ${counted(fresh, "new", "new")}`
      : { connecting: "Connecting…", connected: "Live", reconnecting: "Reconnecting…" }[state];
    byId("live").dataset.state = this.paused ? "paused" : state;
    const text = byId("live-state");
    if (text.textContent !== said) text.textContent = said;
    byId("pause").setAttribute("aria-pressed", String(this.paused));
    byId("pause-word").textContent = this.paused ? "Resume" : "Pause";
  }
}
