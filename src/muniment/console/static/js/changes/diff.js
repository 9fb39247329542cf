// What differs between two versions: members by name, texts side by side.

import { data, el } from "../dom.js";

/** Nodes for an answer of `diff`. */
export function diffView({ from, to, fields, text }) {
  const same = !fields.length && !text;
  return [
    el("h2", {}, `Version ${from.number} → ${to.number}`),
    same && el("p", { class: "notice" }, "The two versions are the same."),
    fields.length > 0 && memberTable(fields, from.number, to.number),
    text && sideBySide(text),
  ].filter(Boolean);
}

/** Nodes for an answer of `version`. */
export function stateView({ number, state }) {
  const title = el("h2", {}, `Version ${number}`);
  if (!state) return [title, el("p", { class: "notice" }, "It did not exist.")];
  const { text, ...rest } = state;
  return [
    title,
    Object.keys(rest).length > 0 && data(JSON.stringify(rest, null, 2), { class: "bytes" }, "pre"),
    typeof text === "string" && data(text, { class: "bytes" }, "pre"),
  ].filter(Boolean);
}

function memberTable(fields, a, b) {
  const heads = ["Member", `Version ${a}`, `Version ${b}`].map((name) => el("th", {}, name));
  return el("table", { class: "members" },
    el("thead", {}, el("tr", {}, heads)),
    el("tbody", {}, fields.map((field) => el("tr", {},
      el("td", {}, data(field.path)), cell(field, "before", "was"), cell(field, "after", "is")))));
}

function cell(field, name, style) {
  if (name in field) {
    return el("td", {}, data(JSON.stringify(field[name], null, 1), { class: style }));
  }
  const neither = !("before" in field) && !("after" in field);
  return el("td", { class: "dim" }, neither ? "text, below" : "not there");
}

/** Two columns of a unified diff: what was on the left, what is on the right. */
export function sideBySide(text) {
  const rows = pairs(text).map(({ kind, left, right }) => el("tr", { class: kind },
    kind === "hunk" ? el("td", { colspan: 4 }, data(left.text))
      : [...half(left, "was"), ...half(right, "is")]));
  const columns = ["line-number", "", "line-number", ""].map((name) => el("col", { class: name }));
  return el("div", { class: "side-by-side" },
    el("table", {}, el("colgroup", {}, columns), el("tbody", {}, rows)));
}

function half(line, style) {
  if (!line) return [el("td", { class: "line-number" }), el("td", { class: "no-line" })];
  return [
    el("td", { class: "line-number" }, String(line.number)),
    el("td", { class: line.changed ? style : "" }, data(line.text)),
  ];
}

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/;

/** Lines of a unified diff as rows: removed and added lines that follow each other share rows. */
export function pairs(text) {
  const rows = [];
  let removed = [];
  let added = [];
  let [old, now] = [1, 1];
  const flush = () => {
    for (let i = 0; i < Math.max(removed.length, added.length); i += 1) {
      rows.push({ kind: "changed", left: removed[i], right: added[i] });
    }
    [removed, added] = [[], []];
  };
  for (const line of text.split("\n")) {
    const hunk = HUNK.exec(line);
    if (hunk) {
      flush();
      [old, now] = [Number(hunk[1]), Number(hunk[2])];
      rows.push({ kind: "hunk", left: { text: line } });
    } else if (!rows.length || line === "" || line.startsWith("\\")) {
      continue; // the two file names before the first hunk; "No newline at end of file"
    } else if (line[0] === "-") {
      removed.push({ number: old++, text: line.slice(1), changed: true });
    } else if (line[0] === "+") {
      added.push({ number: now++, text: line.slice(1), changed: true });
    } else {
      flush();
      const same = line.slice(1);
      const [left, right] = [{ number: old++, text: same }, { number: now++, text: same }];
      rows.push({ kind: "same", left, right });
    }
  }
  flush();
  return rows;
}
