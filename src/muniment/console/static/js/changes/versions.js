// The versions of an object, newest first: what changed, when, and the evidence of who did it.

import { data, el } from "../dom.js";
import { durationText } from "../text.js";
import { longTime } from "../times.js";
import { aroundLink, entryLink } from "./state.js";

/** Nodes for a list of versions; `a` and `b` are the two numbers that are compared. */
export function versionList({ log, object, versions, a, b, pick }) {
  return [
    el("h2", {}, data(object)),
    el("p", { class: "dim" }, "Pick two to compare: the older one (A) and the newer one (B)."),
    el("ol", { class: "version-list" },
      versions.map((version) => item(log, version, a, b, pick))),
  ];
}

function item(log, version, a, b, pick) {
  const number = String(version.number);
  const change = word(version.change);
  return el("li", { class: number === a || number === b ? "picked" : "" },
    el("div", { class: "version-head" },
      picker("A", number, number === a, () => pick({ a: number })),
      picker("B", number, number === b, () => pick({ b: number, a: older(a, version.number) })),
      el("b", {}, number), " ", el("span", { class: `change ${change}` }, change),
      el("span", { class: "spring" }),
      el("a", { href: entryLink(log, version.entry) }, "evidence")),
    el("p", { class: "when" }, longTime(Date.parse(version.time)), before(version), " · ",
      el("a", { href: aroundLink(log, version.time) }, "around it")),
    fields(version.fields ?? []),
    evidence(log, version));
}

/** How long before it was seen the object was still as it had been. */
function before({ since, time }) {
  const took = Date.parse(time) - Date.parse(since ?? "");
  return took > 0 ? `, unchanged ${durationText(took)} before` : "";
}

/** The version that a newer one is compared with: the one picked before, if it is older. */
function older(a, newer) {
  return Number(a) < newer ? a : String(Math.max(newer - 1, 1));
}

function word(change) {
  return ["observe", "create", "update", "delete"].includes(change) ? change : "update";
}

function picker(name, number, on, pick) {
  return el("button", {
    type: "button", class: "pick", "aria-pressed": String(on), onclick: pick,
    "aria-label": `Version ${number} as ${name}`, "data-pick": `${name}${number}`,
  }, name);
}

const MOST_FIELDS = 5;

function fields(found) {
  if (!found.length) return null;
  const left = found.length - MOST_FIELDS;
  return el("ul", { class: "fields" },
    found.slice(0, MOST_FIELDS).map((field) => el("li", {},
      data(field.path, { class: "name" }), " ", sides(field))),
    left > 0 && el("li", { class: "dim" }, `and ${left} more`));
}

function sides(field) {
  if (!("before" in field) && !("after" in field)) {
    return el("span", { class: "dim" }, "text differs");
  }
  return [side(field, "before", "was"), " → ", side(field, "after", "is")];
}

function side(field, name, style) {
  const text = name in field ? JSON.stringify(field[name]) : "nothing";
  return data(text.slice(0, 120), { class: style });
}

function evidence(log, version) {
  if (!version.evidence) return el("p", { class: "dim" }, "Looking for who did it…");
  if (!version.evidence.length) return el("p", { class: "dim" }, data(version.conclusion));
  return el("ul", { class: "evidence" }, version.evidence.map((one) => (
    el("li", { class: one.certain ? "certain" : "" },
      el("a", { href: entryLink(log, one.entry) }, data(one.who || "somebody")),
      one.where ? [" from ", data(one.where)] : null,
      one.how ? [" through ", data(one.how)] : null, ": ", data(one.action ?? ""),
      one.certain ? null : el("span", { class: "dim" }, " (may fit: ", data(one.why ?? ""), ")"))
  )));
}
