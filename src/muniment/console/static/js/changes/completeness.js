// What should have arrived, what did, and what is missing.

import * as api from "../api.js";
import { data, el } from "../dom.js";
import { counted, grouped } from "../text.js";
import { longTime } from "../times.js";
import { entryLink } from "./state.js";

const SINCE = { "1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days" };

/** `go(changes)` goes to another state. */
export class CompletenessView {
  constructor(go) {
    this.since = el("select", { "aria-label": "Since" },
      Object.entries(SINCE).map(([value, says]) => el("option", { value }, says)));
    this.since.addEventListener("change", () => go({ since: this.since.value }));
    this.answer = el("div", { class: "completeness" });
    const asked = el("div", { class: "asked" }, this.since);
    this.node = el("div", { class: "completeness-view" }, asked, this.answer);
  }

  async show({ log, since }, signal) {
    this.since.value = since;
    const said = await api.ask(log, "completeness", { since }, signal);
    if (signal.aborted) return;
    this.answer.replaceChildren(verdict(said), gaps(log, said.gaps),
      table("What balancers counted", said.instances), table("Streams of agents", said.streams));
  }
}

function verdict({ gaps: found, instances, streams }) {
  if (found.length) {
    return el("p", { class: "notice bad" }, `On record: ${counted(found.length, "gap")}.`);
  }
  if (!instances.length && !streams.length) {
    return el("p", { class: "notice" }, "Nothing says how much should have arrived: "
      + "no agent sends counters or numbered streams.");
  }
  return el("p", { class: "notice good" }, "Everything that was counted has arrived.");
}

function gaps(log, found) {
  return el("ol", { class: "timeline" }, found.map((gap) => el("li", { class: "is-gap" },
    el("time", {}, longTime(Date.parse(gap.from ?? gap.time))),
    el("span", { class: "kind" }, gap.reason ?? "gap"),
    data(gap.message ?? "", { class: "words" }),
    gap.entry ? el("a", { href: entryLink(log, gap.entry) }, "evidence") : el("span"))));
}

/** A table of whatever members the rows have, in the order of the first. */
function table(title, rows) {
  if (!rows.length) return el("section");
  const names = Object.keys(rows[0]).filter((name) => typeof rows[0][name] !== "object");
  return el("section", {}, el("h2", {}, title), el("table", { class: "members" },
    el("thead", {}, el("tr", {}, names.map((name) => el("th", {}, name.replaceAll("_", " "))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, names.map((name) => cell(row[name])))))));
}

function cell(value) {
  if (typeof value === "number") return el("td", { class: "number" }, grouped(value));
  return el("td", {}, data(value ?? ""));
}
