// The proof of one entry, fetched and checked here, shown step by step with a plain verdict.

import * as api from "./api.js";
import { canCheck, checkEntry } from "./check.js";
import { announce, copyButton, data, download, el, icon } from "./dom.js";
import { pin, pinned, unpin } from "./pins.js";
import { counted, grouped, hex } from "./text.js";

const TRIES = 6; // a fresh entry waits for the next published checkpoint, at most about a second
const BETWEEN = 1200; // milliseconds

const VERDICTS = {
  holds: ["good", "check", "The proof holds"],
  unsigned: ["unsure", "warn", "Inclusion holds; signature not checked by this browser"],
  fails: ["bad", "cross", "The proof does not hold"],
  changed: ["bad", "cross", "The key has changed"],
};

/** Check `place` = `{log, shard, index}` and show it in `element`. */
export class ProofView {
  constructor(element) {
    this.element = element;
  }

  /** `shard` is the shard as GET /api/v1/logs shows it; resolves when the verdict stands there. */
  async show(place, shard, entry, signal) {
    this.#say("wait", "clock", "Checking the proof…");
    if (!canCheck()) return this.#withoutCrypto();
    const proofText = await this.#proof(place, signal);
    if (proofText === null || signal.aborted) return undefined;
    const pinnedText = pinned(place.log, place.shard);
    const claim = {
      entry, proofText, index: place.index, origin: shard.origin,
      verifierText: shard.verifier, pinnedText,
    };
    const result = await checkEntry(claim);
    if (signal.aborted) return undefined;
    this.#render(place, claim, result, () => this.show(place, shard, entry, signal));
    return undefined;
  }

  async #proof(place, signal) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await api.proof(place.log, place.shard, place.index, signal);
      } catch (problem) {
        if (signal.aborted) return null;
        // The entry is there (its bytes were just read): its proof comes with the next checkpoint.
        const soon = [404, 409, 425, 503].includes(problem.status) && attempt < TRIES;
        if (!soon) {
          this.#say("unsure", "warn", "No proof to check", problem.message, problem.advice ?? "");
          return null;
        }
        this.#say("wait", "clock", "Waiting for the next published checkpoint…");
        await new Promise((resolve) => { setTimeout(resolve, BETWEEN); });
      }
    }
  }

  #withoutCrypto() {
    this.#say("unsure", "warn", "Not checked",
      "The browser gives no cryptography to pages that come over plain HTTP from another machine.",
      "Open the page over HTTPS or on localhost, or use the command line: muniment prove.");
  }

  #say(kind, name, title, ...lines) {
    this.element.replaceChildren(el("div", { class: `verdict ${kind}` }, icon(name),
      el("div", {}, el("h3", {}, title), lines.filter(Boolean).map((line) => el("p", {}, line)))));
  }

  #render(place, claim, result, again) {
    const changed = Boolean(claim.pinnedText && claim.pinnedText !== claim.verifierText);
    const [kind, name, title] = VERDICTS[changed ? "changed" : result.verdict];
    this.#say(kind, name, title, ...sentences(place, claim, result, changed));
    announce(title);
    const steps = el("ol", { class: "steps" }, result.steps.map((step) => stepItem(step)));
    this.element.append(
      el("details", { class: "how", open: kind === "bad" },
        el("summary", {}, "How this was checked"), steps, limits()),
      keyRow(place, claim, changed, again),
      files(place, claim),
    );
  }
}

function sentences(place, claim, result, changed) {
  if (changed) {
    return [
      "This server now shows another key for this shard than the one pinned in this browser. "
      + "It may be showing you another log. Do not rely on what you see here until the person "
      + "who runs it has confirmed the new key to you over another channel.",
    ];
  }
  const failed = result.steps.find((step) => step.ok === false);
  if (failed) {
    return [
      `${failed.name}: ${failed.said}`,
      "Do not rely on this entry. Keep the files below, and run muniment verify on the server.",
    ];
  }
  const { checkpoint } = result.proof;
  const head = `the log’s head at size ${grouped(checkpoint.size)}`;
  if (result.verdict === "unsigned") {
    return [`These exact bytes are entry ${grouped(place.index)} under ${head}. Whether the log `
      + "signed that head was not checked: this browser has no Ed25519."];
  }
  const whose = claim.pinnedText ? "the key that you pinned" : "the key below";
  const number = grouped(place.index);
  return [`These exact bytes are entry ${number} under ${head}, signed with ${whose}.`];
}

function stepItem(step) {
  const [kind, name] = { true: ["good", "check"], false: ["bad", "cross"] }[step.ok]
    ?? ["unsure", "warn"];
  const word = { good: "holds", bad: "fails", unsure: "not checked" }[kind];
  return el("li", { class: kind },
    el("span", { class: "outcome" }, icon(name), el("span", { class: "visually-hidden" }, word)),
    el("div", {}, el("b", {}, step.name), " ", data(step.said),
      step.bytes && el("code", { class: "hash" }, hex(step.bytes)),
      step.path?.length ? pathList(step.path) : null));
}

function pathList(path) {
  return el("details", { class: "path" },
    el("summary", {}, `The ${counted(path.length, "hash", "hashes")}`),
    el("ol", {}, path.map(({ side, sibling }) => el("li", {},
      el("span", { class: "dim" }, side), " ", el("code", { class: "hash" }, hex(sibling))))));
}

function limits() {
  return el("p", { class: "dim" },
    "This covers the bytes of the entry, not the fields that the index read from them. It shows "
    + "that the entry stands in the log that this server shows you; that everyone is shown the "
    + "same log is for a checkpoint kept elsewhere to show (muniment verify --trust). The check "
    + "ran in this page, which came from the same server: to depend on neither, check the files.");
}

function keyRow(place, claim, changed, again) {
  const { log, shard } = place;
  const row = el("div", { class: `keyrow${changed ? " changed" : ""}` }, icon("key"));
  const act = (label, action) => el("button", {
    type: "button", class: "small", onclick: () => { action(); again(); },
  }, label);
  if (changed) {
    row.append(el("dl", {},
      el("dt", {}, "Pinned here"), el("dd", {}, data(claim.pinnedText, {}, "code")),
      el("dt", {}, "Shown now"), el("dd", {}, data(claim.verifierText, {}, "code"))),
    act("Forget the pinned key", () => unpin(log, shard)));
  } else if (claim.pinnedText) {
    row.append(el("div", {}, "Checked with the key that you pinned in this browser.",
      data(claim.verifierText, {}, "code")), act("Unpin", () => unpin(log, shard)));
  } else {
    row.append(el("div", {},
      "The key came from this same server. Compare it with one that you got another way; pin it, "
      + "and a change will be loud.", data(claim.verifierText, {}, "code")),
    act("Pin this key", () => pin(log, shard, claim.verifierText)));
  }
  return row;
}

function files(place, claim) {
  const name = `${place.log}-${place.shard}-${place.index}`;
  const save = (label, file, content) => el("button", {
    type: "button", class: "small", onclick: () => download(file, content),
  }, icon("download"), label);
  const command = `muniment check ${name}.tlog-proof --entry ${name}.entry `
    + `--key '${claim.verifierText}'`;
  return el("div", { class: "files" },
    save("Proof", `${name}.tlog-proof`, claim.proofText),
    save("Entry", `${name}.entry`, claim.entry),
    save("Key", `${name}.vkey`, `${claim.verifierText}\n`),
    copyButton("Copy the command that checks them", () => command, { text: true, class: "small" }));
}
