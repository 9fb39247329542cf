// The page of changes: which objects there are, what each was when, and who made it so.

import * as api from "../api.js";
import { byId, data, el } from "../dom.js";
import { askForToken, mayAskAgain } from "../guide.js";
import { currentZone, setZone, zoneName } from "../times.js";
import { CompletenessView } from "./completeness.js";
import { ExplainView } from "./explain.js";
import { ObjectsView } from "./objects.js";
import { readState, writeState } from "./state.js";

class Changes {
  constructor() {
    this.state = readState(location.search);
    this.running = new AbortController();
    const go = (changes) => this.change(changes);
    this.views = {
      objects: new ObjectsView(go),
      explain: new ExplainView(go),
      completeness: new CompletenessView(go),
    };
    for (const button of byId("views").children) {
      button.addEventListener("click", () => this.change({ view: button.dataset.view }));
    }
    byId("log").addEventListener("change", () => {
      this.change({ log: byId("log").value, object: "", a: "", b: "" });
    });
    byId("zone").addEventListener("click", () => {
      setZone(currentZone() === "utc" ? "local" : "utc");
      this.apply();
    });
    addEventListener("popstate", () => {
      const state = readState(location.search);
      this.state = { ...state, log: state.log || this.state.log };
      this.apply();
    });
  }

  async start() {
    api.onUnauthenticated(askForToken);
    try {
      const logs = await api.logs();
      if (!this.state.log) this.state.log = logs[0]?.name ?? "";
      byId("log").replaceChildren(...logs.map(({ name }) => el("option", { value: name }, name)));
    } catch (problem) {
      this.say(problem);
    }
    this.apply();
  }

  /** Go to a changed state: a new place in the history, then show it. */
  change(changes) {
    mayAskAgain();
    this.state = { ...this.state, ...changes };
    history.pushState(null, "", writeState(this.state));
    this.apply();
  }

  async apply() {
    this.running.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    byId("log").value = this.state.log;
    byId("zone").textContent = zoneName();
    for (const button of byId("views").children) {
      button.setAttribute("aria-pressed", String(button.dataset.view === this.state.view));
    }
    const view = this.views[this.state.view];
    if (byId("view").firstElementChild !== view.node) byId("view").replaceChildren(view.node);
    this.say(null);
    try {
      await view.show(this.state, signal);
    } catch (problem) {
      if (!signal.aborted) this.say(problem);
    }
  }

  say(problem) {
    byId("problem").hidden = !problem;
    if (!problem) return;
    byId("problem").replaceChildren(
      el("b", {}, `${problem.title || "That did not work"}. `), data(problem.message), " ",
      problem.advice ? data(problem.advice, { class: "advice" }) : "");
  }
}

new Changes().start();
