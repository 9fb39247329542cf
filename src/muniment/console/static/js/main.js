// The console: one state (in the address bar), what it asks of the API, and where the answers go.

import * as api from "./api.js";
import { Controls } from "./controls.js";
import { Detail } from "./detail.js";
import { announce, byId } from "./dom.js";
import { keyOf } from "./fields.js";
import { askForToken, firstLines, mayAskAgain, noMatch, quiet } from "./guide.js";
import { Histogram, bucketsFor } from "./histogram.js";
import { LiveTail } from "./live.js";
import { both, withTerm } from "./query.js";
import { ResultList } from "./results.js";
import { readState, sameSearch, writeState } from "./state.js";
import { StatusLine } from "./status.js";
import { counted } from "./text.js";
import { TROUBLE, legend, stacked, timeline, troubleParams } from "./timeline.js";
import { bounds } from "./times.js";

const PAGE = 100; // rows asked for at once
const MOST = 5000; // rows kept on the page; a reader who needs more narrows the search
const CHART_EVERY = 5000; // milliseconds between two charts while live

class Console {
  constructor() {
    this.state = readState(location.search);
    this.running = new AbortController();
    this.asked = null;
    this.cursor = null;
    this.controls = new Controls({
      onChange: (changes, options) => this.change(changes, options),
      onZone: () => { this.list.redraw(); this.chart.draw(); },
      onKey: (name) => this.key(name),
    });
    this.list = new ResultList(byId("rows"), (row) => this.openEntry(keyOf(row)));
    this.chart = new Histogram(byId("histogram"), (start, end) => this.zoom(start, end));
    this.live = new LiveTail({
      list: this.list,
      onRows: () => { this.guide(null); this.summarise(); },
      onProblem: (problem) => this.controls.showProblem(problem),
    });
    this.detail = new Detail({
      shardOf: (log, shard) => this.shardOf(log, shard),
      onFilter: (field, value, exclude) => this.filter(field, value, exclude),
      onClose: () => this.closeEntry(),
      onStep: (by) => this.step(by),
    });
    this.status = new StatusLine((logs) => this.controls.showLogs(logs));
    byId("older").addEventListener("click", () => this.older());
    addEventListener("popstate", () => this.apply(readState(location.search)));
    setInterval(() => {
      if (this.state.live && !document.hidden) this.drawChart(this.running.signal);
    }, CHART_EVERY);
  }

  async start() {
    api.onUnauthenticated(askForToken);
    this.controls.show(this.state);
    try {
      const logs = await api.logs();
      this.status.logs = logs;
      if (!this.state.log) this.state.log = logs[0]?.name ?? "";
      this.controls.showLogs(logs);
    } catch (problem) {
      this.controls.showProblem(problem);
    }
    this.apply(this.state);
  }

  /** Go to a changed state: a new place in the history, then show it. */
  change(changes, { again = false } = {}) {
    mayAskAgain();
    const next = { ...this.state, ...changes };
    if (writeState(next) !== writeState(this.state)) {
      history.pushState(null, "", writeState(next));
    } else if (!again) {
      return;
    }
    this.apply(next, again);
  }

  /** Show a state, asking again only for what differs. */
  apply(state, again = false) {
    const before = this.state;
    this.state = { ...state, log: state.log || before.log };
    this.controls.show(this.state);
    this.status.log = this.state.log;
    if (again || !this.asked || !sameSearch(this.asked, this.state)) this.ask();
    this.showEntry();
  }

  /** Run the search, or the live tail, that the state describes. */
  async ask() {
    this.running.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    // The rows of the search before stay, dimmed, until the answer is there.
    const keep = !this.state.live && this.asked?.log === this.state.log;
    this.asked = this.state;
    this.range = bounds(this.state);
    this.cursor = null;
    this.controls.showProblem(null);
    if (!keep) this.list.clear();
    byId("older").hidden = true;
    byId("summary").textContent = "Searching…";
    document.body.classList.toggle("is-live", this.state.live);
    this.status.refresh();
    this.drawChart(signal);
    // The tail first, then the rows before it: the other way round, rows between could be missed.
    if (this.state.live) await this.live.start(this.state.log, this.state.q);
    else this.live.stop();
    if (!signal.aborted) await this.page(signal);
  }

  /** Fetch the next page of rows. */
  async page(signal) {
    const { log, q, live } = this.state;
    byId("results").setAttribute("aria-busy", "true");
    try {
      const params = { q, ...this.range, limit: PAGE, cursor: this.cursor };
      const answer = await api.search(log, params, signal);
      if (!live && !this.cursor) this.list.clear();
      this.list.append(answer.rows);
      this.cursor = live ? null : answer.next ?? null;
      this.status.setLag(answer.lag ?? null);
      this.partial = Boolean(answer.partial);
      byId("older").hidden = !this.cursor || this.list.size >= MOST;
      byId("older").textContent = this.partial ? "Look further back" : "Load older";
      await this.sayEmpty(signal);
      this.summarise();
      this.list.select(this.state.entry);
    } catch (problem) {
      if (signal.aborted) return;
      this.controls.showProblem(problem);
      byId("summary").textContent = "";
      this.list.clear();
      this.guide(null);
      byId("results").classList.add("empty");
    } finally {
      if (!signal.aborted) byId("results").removeAttribute("aria-busy");
    }
  }

  async older() {
    const last = byId("rows").lastElementChild;
    byId("older").disabled = true;
    await this.page(this.running.signal);
    byId("older").disabled = false;
    last?.nextElementSibling?.focus();
  }

  async sayEmpty(signal) {
    if (this.list.size || this.cursor) return this.guide(null);
    const logs = await api.logs(signal);
    const shards = logs.find((log) => log.name === this.state.log)?.shards ?? [];
    if (signal.aborted || this.list.size) return undefined;
    if (shards.every((shard) => shard.size === 0)) {
      this.guide(firstLines(this.state.log));
      return document.body.classList.add("unused");
    }
    if (this.state.live) return this.guide(quiet());
    return this.guide(noMatch(this.state, () => this.change({ range: "all", from: "", to: "" })));
  }

  guide(content) {
    document.body.classList.remove("unused");
    byId("guide").replaceChildren(...(content ? [content] : []));
    byId("results").classList.toggle("empty", Boolean(content));
  }

  summarise() {
    const shown = counted(this.list.size, "entry", "entries");
    const parts = [`${shown} shown`];
    if (this.total !== undefined && !this.state.live) {
      parts[0] = `${counted(this.total, "entry", "entries")} · ${shown} shown`;
    }
    if (this.partial) parts.push("partial: the time for one search ran out");
    if (this.cursor && this.list.size >= MOST) parts.push("narrow the search to see more");
    byId("summary").textContent = parts.join(" · ");
  }

  async drawChart(signal) {
    const { log, q } = this.state;
    const range = this.state.live ? bounds(this.state) : this.range;
    const to = range.to ?? (range.from && new Date(api.serverNow()).toISOString());
    try {
      const buckets = bucketsFor(this.chart.width);
      const answer = await api.histogram(log, { q, ...range, to, buckets }, signal);
      const model = timeline(answer, this.state);
      this.status.setLag(answer.lag ?? null);
      this.showChart(model);
      if (!model || model.split) return;
      const names = Object.keys(TROUBLE);
      const parts = await Promise.all(names.map((name) => (
        api.histogram(log, troubleParams(model, q, TROUBLE[name]), signal)
      )));
      this.showChart(stacked(model, Object.fromEntries(names.map((name, i) => [name, parts[i]]))));
    } catch {
      // The search says what is wrong with the query; the chart only stays empty.
      if (!signal.aborted) this.chart.show(null);
    }
  }

  showChart(model) {
    this.total = model?.total ?? 0;
    this.chart.show(model);
    const pick = (term) => this.change({ q: both(this.state.q, term) });
    byId("legend").replaceChildren(...legend(model, pick));
    this.summarise();
  }

  zoom(start, end) {
    const [from, to] = [start, end].map((instant) => new Date(instant).toISOString());
    this.change({ range: "custom", from, to, live: false });
    announce("Zoomed to the picked range. Back returns.");
  }

  filter(field, value, exclude) {
    this.change({ q: withTerm(this.state.q, field, value, exclude) });
  }

  async shardOf(log, shard) {
    const find = (logs) => logs.find((one) => one.name === log)
      ?.shards.find((one) => one.shard === shard);
    return find(this.status.logs) ?? find(await api.logs());
  }

  openEntry(key) {
    if (key !== this.state.entry) this.change({ entry: key });
  }

  closeEntry() {
    const line = this.list.select(this.state.entry);
    this.change({ entry: "" });
    this.list.focus(line ?? undefined);
  }

  showEntry() {
    const { entry, log } = this.state;
    const row = this.list.select(entry);
    row?.scrollIntoView({ block: "nearest" });
    if (!entry) return this.detail.close();
    const [shard, index] = entry.split(":");
    return this.detail.show({ log, shard, index }, this.list.get(entry) ?? null);
  }

  step(by) {
    const node = this.list.beside(by);
    if (node) this.openEntry(node.dataset.key);
  }

  key(name) {
    if (name === "close" && this.detail.open) this.closeEntry();
    else if (name === "live") this.change({ live: !this.state.live });
    else if (name === "pause") this.live.toggle();
    else if (name === "down" || name === "up") {
      if (this.detail.open) this.step(name === "down" ? 1 : -1);
      else this.list.focus();
    }
  }
}

new Console().start();
