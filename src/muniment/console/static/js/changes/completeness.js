// What should have arrived, what did, and what is missing.

import * as api from "../api.js";
import { data, el } from "../dom.js";
import { counted, grouped } from "../text.js";
import { SPANS, longTime } from "../times.js";
import { entryLink } from "./state.js";

const SINCE = { "1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days" };
const USUAL = "24h";
const GAP = "completeness.gap";
const CLOSED = "completeness.closed";

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
    const span = Object.hasOwn(SINCE, since) ? since : USUAL;
    this.since.value = span;
    this.answer.replaceChildren();
    const from = new Date(api.serverNow() - SPANS[span]).toISOString();
    const said = await api.ask(log, "completeness", { since: from }, signal);
    if (signal.aborted) return;
    this.answer.replaceChildren(
      verdict(said, SINCE[span]), records(log, said),
      table("What balancers counted", COUNTERS, said.instances),
      table("Streams of agents", STREAMS, said.streams));
  }
}

function verdict({ following, trouble, gaps, instances, streams }, span) {
  if (!following) return el("p", { class: "notice" }, "Completeness is switched off on this server.");
  if (trouble) return el("p", { class: "notice unsure" }, "It is not followed now: ", data(trouble));
  const missing = stillMissing(gaps);
  if (missing > 0) {
    const says = `${counted(missing, "entry", "entries")} missing, on record in ${span}.`;
    return el("p", { class: "notice bad" }, says);
  }
  if (!instances.length && !streams.length) {
    return el("p", { class: "notice" }, "Nothing says how much should have arrived: "
      + "no agent sends counters or numbered streams.");
  }
  if ([...instances, ...streams].some((one) => one.missing > 0)) {
    return el("p", { class: "notice unsure" },
      `Nothing went missing in ${span}; what is missing since before stands below.`);
  }
  if (instances.some((one) => one.problem)) {
    return el("p", { class: "notice unsure" }, "Not everything that was counted can be compared.");
  }
  return el("p", { class: "notice good" },
    "Nothing is missing of what was counted, as far as it has been compared.");
}

/** What the records say is missing, less what they say arrived late. */
function stillMissing(gaps) {
  return gaps.reduce((sum, { action, missing, arrived }) => {
    if (action === GAP) return sum + (missing ?? 0);
    return action === CLOSED ? sum - (arrived ?? 0) : sum;
  }, 0);
}

function records(log, { gaps, more }) {
  const items = gaps.map((gap) => el("li", { class: gap.action === GAP ? "is-gap" : "" },
    el("time", {}, longTime(Date.parse(gap.time))),
    el("span", { class: "kind" }, data(String(gap.action).replace("completeness.", ""))),
    data(gap.message ?? "", { class: "words" }),
    gap.entry ? el("a", { href: entryLink(log, gap.entry) }, "evidence") : el("span")));
  const rest = more && el("p", { class: "dim" }, "There are more records: narrow the time.");
  return el("div", {}, el("ol", { class: "timeline" }, items), rest);
}

const MISSING = ["missing", (one) => grouped(one.missing), "number"];

/** Columns: heading, what of a row is in it, class. */
const COUNTERS = [
  ["instance", (one) => one.instance],
  ["counter", (one) => one.name],
  ["served", (one) => grouped(one.served), "number"],
  MISSING,
  ["too many", (one) => grouped(one.surplus), "number"],
  ["compared up to", (one) => (one.looked ? longTime(Date.parse(one.looked)) : "")],
  ["found by", (one) => one.match],
  ["told by", (one) => one.sender],
  ["problem", (one) => one.problem],
];

const STREAMS = [
  ["stream", (one) => one.stream],
  ["first", (one) => grouped(one.first), "number"],
  ["last", (one) => grouped(one.last), "number"],
  MISSING,
  ["repeated", (one) => grouped(one.repeated), "number"],
  ["told by", (one) => one.sender],
];

/** A table of the columns in which any row has something. */
function table(title, columns, rows) {
  if (!rows.length) return el("section");
  const shown = columns.filter(([, says]) => rows.some((row) => says(row)));
  const heads = shown.map(([name, , style = ""]) => el("th", { class: style }, name));
  const cells = (row) => shown.map(([, says, style = ""]) => (
    el("td", { class: style }, data(says(row) ?? ""))));
  return el("section", {}, el("h2", {}, title), el("table", { class: "members" },
    el("thead", {}, el("tr", {}, heads)),
    el("tbody", {}, rows.map((row) => el("tr", {}, cells(row))))));
}
