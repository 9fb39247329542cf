// What happened around a time, or around an object's last change: changes, acts, reloads, errors.

import * as api from "../api.js";
import { data, el, svg } from "../dom.js";
import { counted } from "../text.js";
import { fromField, longTime, toField } from "../times.js";
import { entryLink, objectLink } from "./state.js";

const WINDOWS = { 300: "5 minutes", 900: "15 minutes", 3600: "an hour", 43200: "12 hours" };
const WIDTH = 900;
const HEIGHT = 60;

/** `go(changes)` goes to another state. */
export class ExplainView {
  constructor(go) {
    this.at = el("input", { type: "datetime-local", step: "1", "aria-label": "Time" });
    this.object = el("input", {
      type: "search", placeholder: "object (optional)", spellcheck: false, "aria-label": "Object",
    });
    this.window = el("select", { "aria-label": "Window" },
      Object.entries(WINDOWS).map(([value, says]) => el("option", { value }, `${says} around it`)));
    const form = el("form", { class: "asked" }, this.at, this.object, this.window,
      el("button", { type: "submit", class: "primary" }, "Explain"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const at = fromField(this.at.value) ?? "";
      go({ at, object: this.object.value.trim(), window: this.window.value });
    });
    this.answer = el("div", { class: "explained" });
    this.node = el("div", { class: "explain-view" }, form, this.answer);
  }

  async show({ log, at, object, window }, signal) {
    this.object.value = object;
    this.window.value = window;
    const moment = at || (object ? "" : new Date(api.serverNow()).toISOString());
    this.at.value = moment ? toField(Date.parse(moment)) : "";
    this.answer.replaceChildren(el("p", { class: "dim" }, "Looking…"));
    const said = await api.ask(log, "explain", { at: moment, object, window }, signal);
    if (signal.aborted) return;
    this.answer.replaceChildren(chart(said), axis(said), summary(said), timeline(log, said));
  }
}

/** Errors over the window as bars, with a mark at each change. */
function chart({ from, to, errors, timeline: events }) {
  const [start, end] = [Date.parse(from), Date.parse(to)];
  const x = (time) => ((time - start) / (end - start)) * WIDTH;
  const buckets = errors?.buckets ?? [];
  const most = Math.max(1, ...buckets.map((bucket) => bucket.errors));
  const width = WIDTH / Math.max(buckets.length, 1);
  const bars = buckets.filter((bucket) => bucket.errors > 0).map((bucket) => {
    const height = (bucket.errors / most) * (HEIGHT - 8);
    const place = { x: x(bucket.start), y: HEIGHT - height, width: Math.max(width - 1, 1), height };
    return svg("rect", { class: "bar s-5xx", ...place });
  });
  const marks = events.filter((event) => event.kind !== "effect").map((event) => {
    const at = x(Date.parse(event.time));
    return svg("line", { class: `mark-${event.kind}`, x1: at, x2: at, y1: 0, y2: HEIGHT });
  });
  return svg("svg", {
    class: "errors", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
    role: "img", "aria-label": "Errors over time, and changes",
  }, bars, marks);
}

/** When the chart begins and ends, and what it shows. */
function axis({ from, to, errors }) {
  const failed = (errors?.buckets ?? []).reduce((sum, bucket) => sum + bucket.errors, 0);
  return el("p", { class: "axis dim" },
    el("time", {}, longTime(Date.parse(from))),
    el("span", {}, `${counted(failed, "failed request")} (bars); changes and acts (lines)`),
    el("time", {}, longTime(Date.parse(to))));
}

function summary({ errors, summary: sentences }) {
  return el("ul", { class: `notice ${errors?.rise ? "unsure" : ""}` },
    sentences.map((sentence) => el("li", {}, data(sentence))));
}

function timeline(log, { timeline: events }) {
  if (!events.length) {
    return el("p", { class: "notice" }, "No change and no act is on record in this time.");
  }
  return el("ol", { class: "timeline" }, events.map((event) => el("li", {
    class: `is-${event.kind}`,
  },
    el("time", {}, longTime(Date.parse(event.time))), el("span", { class: "kind" }, event.kind),
    el("span", { class: "words" }, data(event.text), event.object
      ? [" ", el("a", { href: objectLink(log, event.object) }, "history")] : null),
    event.entry ? el("a", { href: entryLink(log, event.entry) }, "evidence") : el("span"))));
}
