// The query bar: it turns what the user does into a changed state, and shows a state.

import { byId, data, el } from "./dom.js";
import { EXAMPLES } from "./query.js";
import { SPANS, fromField, setZone, currentZone, toField, zoneName } from "./times.js";
import { serverNow } from "./api.js";

/** `hooks`: `onChange(changes)`, `onZone()`, `onKey(name)`. */
export class Controls {
  constructor(hooks) {
    this.hooks = hooks;
    this.state = null;
    this.#bar();
    this.#range();
    this.#zone();
    this.#help();
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Write a state into the controls. */
  show(state) {
    this.state = state;
    byId("q").value = state.q;
    byId("chips").hidden = state.q !== "";
    byId("range").value = state.range;
    byId("log").value = state.log;
    byId("search-button").setAttribute("aria-pressed", String(!state.live));
    byId("live-button").setAttribute("aria-pressed", String(state.live));
    this.#custom(state.range === "custom");
  }

  /** Offer these logs. */
  showLogs(logs) {
    const select = byId("log");
    const names = logs.map((log) => log.name);
    if (names.join("\n") === [...select.options].map((option) => option.value).join("\n")) return;
    select.replaceChildren(...names.map((name) => {
      const option = el("option", { value: name });
      option.append(data(name).textContent);
      return option;
    }));
    select.value = this.state?.log ?? names[0] ?? "";
  }

  /** Say what is wrong with the request, at the query box; null clears it. */
  showProblem(problem) {
    const place = byId("problem");
    byId("q").toggleAttribute("aria-invalid", problem?.status === 400);
    place.hidden = !problem;
    if (!problem) return place.replaceChildren();
    const status = problem.status ? ` (${problem.status})` : "";
    return place.replaceChildren(
      el("b", {}, `${problem.title || "That did not work"}${status}. `),
      data(problem.detail || problem.message), " ",
      problem.advice ? data(problem.advice, { class: "advice" }) : "");
  }

  #bar() {
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.hooks.onChange({ q: byId("q").value.trim(), live: false }, { again: true });
    });
    byId("live-button").addEventListener("click", () => {
      this.hooks.onChange({ q: byId("q").value.trim(), live: !this.state.live });
    });
    byId("log").addEventListener("change", () => {
      this.hooks.onChange({ log: byId("log").value, entry: "" });
    });
  }

  #range() {
    byId("range").addEventListener("change", () => {
      const range = byId("range").value;
      if (range === "custom") return this.#startCustom();
      return this.hooks.onChange({ range, from: "", to: "", q: byId("q").value.trim() });
    });
    byId("custom").addEventListener("submit", (event) => {
      event.preventDefault();
      const [from, to] = [fromField(byId("from").value), fromField(byId("to").value)];
      if (!from && !to) return;
      this.hooks.onChange({ range: "custom", from: from ?? "", to: to ?? "" }, { again: true });
    });
  }

  #startCustom() {
    const end = serverNow();
    byId("from").value = toField(end - (SPANS[this.state.range] ?? SPANS["24h"]));
    byId("to").value = toField(end);
    byId("custom").hidden = false;
    byId("from").focus();
  }

  #custom(shown) {
    byId("custom").hidden = !shown;
    byId("custom-zone").textContent = zoneName();
    if (!shown) return;
    byId("from").value = this.state.from ? toField(Date.parse(this.state.from)) : "";
    byId("to").value = this.state.to ? toField(Date.parse(this.state.to)) : "";
  }

  #zone() {
    const button = byId("zone");
    const draw = () => { button.textContent = zoneName(); };
    draw();
    button.addEventListener("click", () => {
      setZone(currentZone() === "utc" ? "local" : "utc");
      draw();
      if (this.state) this.#custom(this.state.range === "custom");
      this.hooks.onZone();
    });
  }

  #help() {
    const chip = ({ q, says }) => el("button", {
      type: "button", class: "chip", title: says,
      onclick: () => { byId("help").close(); this.hooks.onChange({ q }); },
    }, el("code", {}, q));
    byId("chips").append(...EXAMPLES.map(chip));
    byId("help-examples").append(...EXAMPLES.flatMap((example) => [
      el("dt", {}, chip(example)), el("dd", {}, example.says),
    ]));
    byId("help-button").addEventListener("click", () => byId("help").showModal());
    byId("help-close").addEventListener("click", () => byId("help").close());
  }

  #key(event) {
    const typing = event.target.closest("input, textarea, select, dialog");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && !event.target.closest("dialog")) {
      if (event.target === byId("q")) byId("q").blur();
      else this.hooks.onKey("close");
      return;
    }
    if (typing) return;
    const keys = { l: "live", p: "pause", j: "down", k: "up" };
    if (event.key === "/") byId("q").focus();
    else if (event.key === "?") byId("help").showModal();
    else if (event.key in keys && !event.target.closest(".row")) this.hooks.onKey(keys[event.key]);
    else if (event.key === "l" || event.key === "p") this.hooks.onKey(keys[event.key]);
    else return;
    event.preventDefault();
  }
}
