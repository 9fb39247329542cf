// The panel beside the list: one entry, its proof, its bytes and its fields.

import * as api from "./api.js";
import { objectLink } from "./changes/state.js";
import { byId, copyButton, data, el } from "./dom.js";
import { meaning, statusClass, summary } from "./fields.js";
import { ProofView } from "./proofview.js";
import { rawView } from "./raw.js";
import { durationText } from "./text.js";
import { longTime } from "./times.js";
import { fieldTree } from "./tree.js";

/** `hooks`: `shardOf(log, shard)`, `onFilter`, `onClose()`, `onStep(by)`. */
export class Detail {
  constructor(hooks) {
    this.hooks = hooks;
    this.panel = byId("detail");
    this.body = byId("detail-body");
    this.running = new AbortController();
    this.key = "";
    byId("detail-close").addEventListener("click", () => hooks.onClose());
    byId("detail-up").addEventListener("click", () => hooks.onStep(-1));
    byId("detail-down").addEventListener("click", () => hooks.onStep(1));
  }

  get open() {
    return !this.panel.hidden;
  }

  close() {
    this.running.abort();
    this.key = "";
    this.panel.hidden = true;
    document.body.classList.remove("with-detail");
  }

  /** Show `place` = `{log, shard, index}`; `row` is its event, or null to look it up. */
  async show(place, row) {
    const key = `${place.log}/${place.shard}/${place.index}`;
    if (this.key === key) return;
    this.close();
    this.key = key;
    this.running = new AbortController();
    const { signal } = this.running;
    this.panel.hidden = false;
    document.body.classList.add("with-detail");
    const copy = copyButton("Copy address", () => key);
    byId("detail-place").replaceChildren(data(key, {}, "code"), copy);
    const parts = this.#frame();
    try {
      await Promise.all([
        this.#event(place, row, parts, signal),
        this.#evidence(place, row, parts, signal),
      ]);
    } catch (problem) {
      if (!signal.aborted) parts.raw.replaceChildren(problemNote(problem));
    }
  }

  #frame() {
    const parts = {
      head: el("div", { class: "head" }),
      proof: el("section", { class: "proof", "aria-label": "Proof" }),
      raw: el("section", { "aria-label": "Entry" }),
      fields: el("section", { "aria-label": "Fields" }),
    };
    this.body.replaceChildren(parts.head, parts.proof, parts.raw, parts.fields);
    this.body.scrollTop = 0;
    return parts;
  }

  async #event(place, known, parts, signal) {
    const row = known ?? (await lookUp(place, signal));
    if (signal.aborted) return;
    if (!row) {
      parts.fields.replaceChildren(el("p", { class: "notice" },
        "The index has no event for this entry yet. The entry and its proof do not need it."));
      return;
    }
    parts.head.replaceChildren(...headOf(row));
    parts.fields.replaceChildren(
      el("div", { class: "caption" }, el("h4", {}, "Fields"),
        el("span", { class: "dim" }, "as the index read them"), el("span", { class: "spring" }),
        copyButton("Copy as JSON", () => JSON.stringify(row, null, 2))),
      fieldTree(row, this.hooks.onFilter),
    );
  }

  async #evidence(place, row, parts, signal) {
    const { log, shard, index } = place;
    const [bytes, known] = await Promise.all([
      api.entry(log, shard, index, signal), this.hooks.shardOf(log, shard),
    ]);
    if (signal.aborted) return;
    parts.raw.replaceChildren(rawView(bytes, `${log}-${shard}-${index}.entry`, row?.raw_data));
    if (known) await new ProofView(parts.proof).show(place, known, bytes, signal);
  }
}

async function lookUp({ log, shard, index }, signal) {
  const answer = await api.search(log, { q: `shard:${shard} index:${index}`, limit: 1 }, signal)
    .catch(() => ({ rows: [] })); // the evidence below does not depend on the index
  return answer.rows[0] ?? null;
}

function headOf(row) {
  const parts = summary(row);
  const kind = statusClass(row);
  const title = el("h2", {},
    parts.status && data(parts.status, { class: `badge s-${kind}` }), " ",
    parts.method && data(parts.method, { class: "method" }), " ",
    data(`${parts.host}${parts.path}`.slice(0, 600)));
  const facts = [
    longTime(row.time), row.source, meaning("class_uid", row.class_uid),
    parts.duration !== null && durationText(parts.duration), parts.client,
    parts.backend && `→ ${parts.backend}`,
  ];
  const line = el("p", { class: "facts" },
    facts.filter(Boolean).map((fact) => data(fact)));
  const trouble = row.parse_error && el("p", { class: "notice unsure" },
    row.class_uid === 0 ? "This line could not be parsed; it is kept as it came. "
      : "Part of this line could not be parsed. ", data(row.parse_error));
  const history = row.source === "change" && row.entity?.uid && el("p", { class: "facts" },
    el("a", { href: objectLink(row.log, row.entity.uid) }, "What this object was, version by version"));
  return [title, line, history, trouble].filter(Boolean);
}

function problemNote(problem) {
  return el("p", { class: "notice bad", role: "alert" },
    data(problem.message), " ", problem.advice ? data(problem.advice) : "");
}
