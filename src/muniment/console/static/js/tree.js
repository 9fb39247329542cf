// The fields of an event as a tree, each value with "filter for", "exclude" and "copy".

import { copyButton, data, el, icon } from "./dom.js";
import { meaning, orderedNames } from "./fields.js";

const DEEPEST = 12;

/** The tree of `row`; `onFilter(field, value, exclude)` is called from its buttons. */
export function fieldTree(row, onFilter) {
  const list = el("ul", { class: "tree", role: "list" });
  for (const name of orderedNames(row)) list.append(branch(name, row[name], name, onFilter, 0));
  return list;
}

function branch(name, value, path, onFilter, depth) {
  const content = name === "unmapped" && typeof value === "string" ? parsed(value) : value;
  if (content !== null && typeof content === "object" && depth < DEEPEST) {
    return inner(name, content, path, onFilter, depth);
  }
  return leaf(name, content, path, onFilter);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function inner(name, value, path, onFilter, depth) {
  const isList = Array.isArray(value);
  const inside = el("ul", { role: "list" });
  for (const [key, item] of Object.entries(value)) {
    // A list's items are asked for by the list's name: the index of an item is no field.
    const at = isList ? path : `${path}.${key}`;
    inside.append(branch(isList ? `[${key}]` : key, item, at, onFilter, depth + 1));
  }
  return el("li", {}, el("details", { open: true },
    el("summary", {}, data(name, { class: "name" })), inside));
}

function leaf(name, value, path, onFilter) {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  const spoken = meaning(name, value);
  const shown = data(text, { class: `value ${typeof value}` });
  return el("li", { class: "leaf" },
    data(name, { class: "name" }),
    el("span", { class: "filled" }, shown, spoken && el("span", { class: "dim" }, ` ${spoken}`)),
    actions(path, value, text, onFilter));
}

function actions(path, value, text, onFilter) {
  const filterable = value !== null;
  const button = (label, name, exclude) => el("button", {
    type: "button", class: "quiet", title: label, "aria-label": `${label}: ${path}`,
    onclick: () => onFilter(path, value, exclude),
  }, icon(name));
  return el("span", { class: "actions" },
    filterable && button("Filter for this value", "plus", false),
    filterable && button("Exclude this value", "minus", true),
    copyButton("Copy value", () => text));
}
