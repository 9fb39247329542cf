// The list of entries: one line each, newest first, moved through with the keyboard.

import { data, el, icon } from "./dom.js";
import { keyOf, statusClass, summary } from "./fields.js";
import { durationText } from "./text.js";
import { partsOf } from "./times.js";

const SLOW = 1000; // milliseconds from which a duration is set in bold

/** One line of the list. */
function line(row) {
  const parts = summary(row);
  const kind = statusClass(row);
  const node = el("div", {
    role: "row", tabindex: "-1", class: `row s-${kind}${parts.unread ? " unread" : ""}`,
    "data-key": keyOf(row), "aria-selected": "false",
  });
  node.append(
    time(row.time),
    cell("source", row.source ?? ""),
    cell("status", parts.status, { class: `badge s-${kind}` }),
    cell("method", parts.method),
    what(row, parts),
    cell("client", parts.client),
    cell("backend", parts.backend),
    cell("duration", parts.duration === null ? "" : durationText(parts.duration), {
      class: parts.duration >= SLOW ? "slow" : "",
    }),
  );
  return node;
}

function cell(name, text, props = {}) {
  const node = el("div", { role: "gridcell", class: `cell ${name}` });
  if (text !== "") node.append(data(text, { ...props, title: text.length > 16 ? text : null }));
  return node;
}

function time(instant) {
  const { day, clock, fraction } = partsOf(instant);
  return el("div", { role: "gridcell", class: "cell time" },
    el("span", { class: "dim" }, `${day} `), clock, el("span", { class: "dim" }, fraction));
}

function what(row, parts) {
  const node = el("div", { role: "gridcell", class: "cell what" });
  if (parts.unread || parts.partly) {
    const said = parts.unread ? "unparsed" : "partly parsed";
    node.append(el("span", { class: "flag", title: row.parse_error }, icon("warn"), said), " ");
  }
  if (parts.host) node.append(data(parts.host, { class: "dim" }));
  // Cut here too, and not by CSS alone: a line can be 64 KiB long.
  const shown = parts.path.slice(0, 600);
  node.append(data(parts.path.length > 600 ? `${shown}…` : shown, { class: "path" }));
  return node;
}

/** `element` is the grid's body; `onOpen(row)` is called when a line is chosen. */
export class ResultList {
  constructor(element, onOpen) {
    this.element = element;
    this.onOpen = onOpen;
    this.rows = new Map();
    this.selected = "";
    element.addEventListener("click", (event) => this.#click(event));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  get size() {
    return this.rows.size;
  }

  clear() {
    this.rows.clear();
    this.element.replaceChildren();
  }

  /** Write every line again, for instance after the time zone has changed. */
  redraw() {
    const rows = [...this.element.children].map((node) => this.rows.get(node.dataset.key));
    this.clear();
    this.append(rows);
    this.select(this.selected);
  }

  /** Add lines at the end (older ones). Returns how many were new. */
  append(rows) {
    const fresh = this.#fresh(rows);
    this.element.append(...fresh.map((row) => line(row)));
    this.#stop();
    return fresh.length;
  }

  /** Add lines at the top (newest last in `rows`), keep at most `most`. Returns how many. */
  prepend(rows, most) {
    const fresh = this.#fresh(rows);
    const nodes = fresh.map((row) => line(row));
    for (const node of nodes) node.classList.add("new");
    this.element.prepend(...nodes.reverse());
    while (this.element.childElementCount > most) {
      const last = this.element.lastElementChild;
      this.rows.delete(last.dataset.key);
      last.remove();
    }
    this.#stop();
    return fresh.length;
  }

  #fresh(rows) {
    return rows.filter((row) => {
      const key = keyOf(row);
      if (this.rows.has(key)) return false;
      this.rows.set(key, row);
      return true;
    });
  }

  /** The event of a line, when it is in the list. */
  get(key) {
    return this.rows.get(key);
  }

  /** Mark one line as the open one; returns its element, or null. */
  select(key) {
    this.#node(this.selected)?.setAttribute("aria-selected", "false");
    this.selected = key;
    const node = this.#node(key);
    node?.setAttribute("aria-selected", "true");
    this.#stop();
    return node;
  }

  /** The line `by` places below (or above) the selected one, or null. */
  beside(by) {
    const nodes = [...this.element.children];
    const at = nodes.findIndex((node) => node.dataset.key === this.selected);
    return nodes[at < 0 ? 0 : at + by] ?? null;
  }

  /** Put the keyboard into the list. */
  focus(node = this.#node(this.selected) ?? this.element.firstElementChild) {
    node?.focus();
  }

  #node(key) {
    return key ? this.element.querySelector(`[data-key="${CSS.escape(key)}"]`) : null;
  }

  /** Exactly one line can be reached with Tab. */
  #stop() {
    this.element.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    const stop = this.#node(this.selected) ?? this.element.firstElementChild;
    stop?.setAttribute("tabindex", "0");
  }

  #click(event) {
    const node = event.target.closest(".row");
    if (!node || String(getSelection())) return; // marking text is not choosing
    this.onOpen(this.rows.get(node.dataset.key));
  }

  #key(event) {
    const node = event.target.closest(".row");
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = {
      ArrowDown: node.nextElementSibling, j: node.nextElementSibling,
      ArrowUp: node.previousElementSibling, k: node.previousElementSibling,
      Home: this.element.firstElementChild, End: this.element.lastElementChild,
    };
    if (event.key in to) {
      to[event.key]?.focus();
      if (this.selected && to[event.key]) this.onOpen(this.rows.get(to[event.key].dataset.key));
    } else if (event.key === "Enter" || event.key === " ") {
      this.onOpen(this.rows.get(node.dataset.key));
    } else {
      return;
    }
    event.preventDefault();
  }
}
