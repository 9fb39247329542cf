// The line at the foot of the page: how large the log is, how far the index lags, which head is
// published.

import * as api from "./api.js";
import { byId, copyButton, data, el } from "./dom.js";
import { parseCheckpoint } from "./note.js";
import { counted, grouped, hex } from "./text.js";

const EVERY = 5000; // milliseconds

/** `onLogs(logs)` is told each fresh answer of GET /api/v1/logs. */
export class StatusLine {
  constructor(onLogs) {
    this.onLogs = onLogs;
    this.log = "";
    this.logs = [];
    this.lag = null;
    setInterval(() => { if (!document.hidden) this.refresh(); }, EVERY);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.refresh(); });
  }

  /** How many entries the last search could not see yet. */
  setLag(lag) {
    this.lag = lag;
    this.#draw();
  }

  /** Ask again; a failure is said in the line and nowhere else. */
  async refresh() {
    try {
      this.logs = await api.logs();
      this.onLogs(this.logs);
      // What lagged when it was last asked may have caught up since.
      if (this.lag) this.lag = (await api.search(this.log, { limit: 1 })).lag;
      this.heads = await Promise.all(this.#shards().map((shard) => this.#head(shard)));
      this.#draw();
    } catch (problem) {
      byId("status").replaceChildren(el("span", { class: "bad" }, problem.message));
    }
  }

  #shards() {
    return this.logs.find((log) => log.name === this.log)?.shards ?? [];
  }

  async #head({ shard, size }) {
    if (!size) return null; // an empty shard has no checkpoint
    try {
      return { shard, ...parseCheckpoint(await api.checkpoint(this.log, shard)) };
    } catch {
      return null; // the first checkpoint is not published yet
    }
  }

  #draw() {
    const shards = this.#shards();
    if (!shards.length) return;
    const size = shards.reduce((sum, shard) => sum + shard.size, 0);
    byId("status").replaceChildren(
      el("span", {}, el("b", {}, grouped(size)), size === 1 ? " entry" : " entries"),
      this.lag === null ? "" : el("span", { class: this.lag ? "unsure" : "" },
        this.lag ? `${counted(this.lag, "entry", "entries")} not yet searchable`
          : "index up to date"),
      ...(this.heads ?? []).filter(Boolean).slice(0, 4).map((head) => headItem(head)),
    );
    const hint = `muniment verify ${api.address("").href.replace(/\/$/, "")}`;
    byId("verify").replaceChildren(el("code", {}, hint), copyButton("Copy command", () => hint));
  }
}

function headItem(head) {
  const root = hex(head.root);
  return el("span", { title: `${head.origin}\nsize ${head.size}\nroot ${root}` },
    "head ", data(head.shard, { class: "dim" }), ` ${grouped(head.size)} `,
    el("code", {}, `${root.slice(0, 12)}…`));
}
