// Objects, the versions of one, and two versions side by side.

import * as api from "../api.js";
import { data, el } from "../dom.js";
import { counted } from "../text.js";
import { currentZone, longTime } from "../times.js";
import { diffView, stateView } from "./diff.js";
import { versionList } from "./versions.js";

const PAGE = 200;
const VERSIONS = 50;
const BLAMED = 15; // each costs the server a search

/** `go(changes)` goes to another state. */
export class ObjectsView {
  constructor(go) {
    this.go = go;
    this.find = el("input", {
      type: "search", id: "find", placeholder: "haproxy:lb1/server/…", spellcheck: false,
      "aria-label": "Names that begin with",
    });
    this.find.addEventListener("change", () => go({ find: this.find.value.trim() }));
    this.list = el("ul", { class: "objects" });
    this.more = el("button", { type: "button", class: "small", hidden: true }, "More");
    this.versions = el("section", { class: "versions", "aria-label": "Versions" });
    this.diff = el("section", { class: "difference", "aria-label": "What differs" });
    this.node = el("div", { class: "objects-view" },
      el("section", { class: "finder", "aria-label": "Objects" }, this.find, this.list, this.more),
      this.versions, this.diff);
    this.shown = "";
  }

  async show(state, signal) {
    this.state = state;
    this.find.value = state.find;
    const asked = `${state.log}\n${state.find}\n${currentZone()}`;
    if (this.shown !== asked) await this.#objects(asked, signal);
    this.#mark();
    await this.#object(signal);
  }

  async #objects(asked, signal) {
    this.list.replaceChildren();
    await this.#page(null, signal);
    this.shown = asked;
  }

  async #page(cursor, signal) {
    const { log, find } = this.state;
    const answer = await api.ask(log, "objects", { prefix: find, limit: PAGE, cursor }, signal);
    if (signal.aborted) return;
    this.list.append(...answer.objects.map((one) => this.#item(one)));
    if (!this.list.children.length) this.list.append(nothing(find));
    this.more.hidden = !answer.next;
    this.more.onclick = () => this.#page(answer.next, signal);
  }

  #item(one) {
    const last = `${one.change} ${longTime(Date.parse(one.time))}`;
    const link = el("button", { type: "button", class: "object", "data-object": one.object },
      data(one.object, { class: "object-name" }),
      el("span", { class: "dim" }, `${counted(one.number, "version")} · ${last}`));
    link.addEventListener("click", () => this.go({ object: one.object, a: "", b: "" }));
    return el("li", {}, link);
  }

  #mark() {
    for (const link of this.list.querySelectorAll("[data-object]")) {
      link.setAttribute("aria-current", String(link.dataset.object === this.state.object));
    }
  }

  async #object(signal) {
    const { log, object } = this.state;
    if (!object) {
      this.versions.replaceChildren(
        el("p", { class: "notice" }, "Pick an object to see what it was, when."));
      return this.diff.replaceChildren();
    }
    if (this.object !== object) {
      this.versions.replaceChildren(el("p", { class: "dim" }, "Looking…"));
      this.diff.replaceChildren();
    }
    this.object = object;
    const known = await this.#history(log, object, signal);
    if (signal.aborted) return undefined;
    const b = this.state.b || String(known[0]?.number ?? "");
    const a = this.state.a || String(Math.max(Number(b) - 1, known.at(-1)?.number ?? 1));
    const pick = (changes) => this.go({ a, b, ...changes });
    const draw = (versions) => this.#draw(versionList({ log, object, versions, a, b, pick }));
    draw(known);
    const blaming = api.ask(log, "blame", { object, limit: BLAMED }, signal).then(
      ({ versions }) => !signal.aborted && draw([...versions, ...unblamed(known, versions)]));
    const done = await Promise.allSettled([this.#difference({ log, object, a, b }, signal), blaming]);
    const failed = done.find(({ status }) => status === "rejected");
    if (failed) throw failed.reason;
    return undefined;
  }

  /** The versions of an object; where there are none to be had, nothing of another one stays. */
  async #history(log, object, signal) {
    try {
      return (await api.ask(log, "history", { object, limit: VERSIONS }, signal)).versions;
    } catch (problem) {
      if (!signal.aborted) {
        this.versions.replaceChildren(el("h2", {}, data(object)),
          el("p", { class: "dim" }, "There is nothing to show of it."));
        this.diff.replaceChildren();
      }
      throw problem;
    }
  }

  /** Puts the list in place of the one before; the button that has the focus keeps it. */
  #draw(nodes) {
    const held = this.versions.contains(document.activeElement) ? document.activeElement : null;
    this.versions.replaceChildren(...nodes);
    const { pick } = held?.dataset ?? {};
    if (pick) this.versions.querySelector(`[data-pick="${CSS.escape(pick)}"]`)?.focus();
  }

  async #difference({ log, object, a, b }, signal) {
    this.diff.setAttribute("aria-busy", "true");
    try {
      const made = a === b
        ? stateView(await api.ask(log, "version", { object, v: b }, signal))
        : diffView(await api.ask(log, "diff", { object, from: a, to: b }, signal));
      if (!signal.aborted) this.diff.replaceChildren(...made);
    } catch (problem) {
      if (!signal.aborted) this.diff.replaceChildren();
      throw problem;
    } finally {
      this.diff.removeAttribute("aria-busy");
    }
  }
}

/** The older versions, for which nobody asked who made them. */
function unblamed(known, blamed) {
  return known.slice(blamed.length).map((one) => ({ ...one, evidence: [], conclusion: "" }));
}

function nothing(find) {
  return el("li", { class: "notice" }, find ? "No object has a name that begins so." : [
    "No changes are on record yet. The agent beside a balancer records them: ",
    el("code", {}, "muniment capture run"), ".",
  ]);
}
