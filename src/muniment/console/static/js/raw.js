// An entry as it stands in the log: the receipt header, and apart from it the bytes that arrived.

import { copyButton, data, download, el, icon } from "./dom.js";
import { grouped, hex, textOfBytes } from "./text.js";

const NEWLINE = 0x0a;
const BRACE = 0x7b;

// Protocols whose entries are binary unless they begin with a brace. What the index shows of those,
// and the search finds, is JSON that it made of them.
const BINARY = new Set(["envoy", "forward", "loki", "otlp"]);

/** Split an entry at its first newline: `{header, raw}`, both without that newline. */
export function splitEntry(bytes) {
  const cut = bytes.indexOf(NEWLINE);
  if (cut < 0) return { header: bytes, raw: new Uint8Array() };
  return { header: bytes.subarray(0, cut), raw: bytes.subarray(cut + 1) };
}

/** The two blocks; `name` is the file name under which the entry can be kept. */
export function rawView(bytes, name, indexed) {
  const { header, raw } = splitEntry(bytes);
  const text = textOfBytes(raw);
  const isBinary = BINARY.has(protocolOf(header)) && raw[0] !== BRACE;
  const shown = el("pre", { class: "bytes", tabindex: "0", "aria-label": "Raw bytes" });
  const form = { hex: false };
  const draw = () => shown.replaceChildren(form.hex ? hexDump(raw) : data(text));
  draw();
  const toggle = el("button", {
    type: "button", class: "quiet", "aria-pressed": "false",
    onclick: () => {
      form.hex = !form.hex;
      toggle.setAttribute("aria-pressed", String(form.hex));
      draw();
    },
  }, "Hex");
  return el("div", { class: "entry" },
    el("div", { class: "caption" }, el("h4", {}, "Receipt header"),
      copyButton("Copy header", () => textOfBytes(header))),
    el("pre", { class: "bytes header", tabindex: "0", "aria-label": "Receipt header" },
      data(textOfBytes(header))),
    el("div", { class: "caption" },
      el("h4", {}, "Raw, exactly as it arrived"),
      el("span", { class: "dim" }, `${grouped(raw.length)} bytes`),
      el("span", { class: "spring" }),
      toggle,
      copyButton("Copy raw", () => (form.hex ? hex(raw) : text)),
      el("button", {
        type: "button", class: "quiet", title: "Download the entry (header and raw)",
        "aria-label": "Download the entry", onclick: () => download(name, bytes),
      }, icon("download"))),
    shown,
    isBinary && differs(indexed, text) && readable(indexed),
    !isBinary && differs(indexed, text) && el("p", { class: "notice bad", role: "alert" },
      "The index shows other raw bytes for this entry than the log holds. Trust the bytes above, "
      + "and rebuild the index."));
}

/** The protocol that the receipt header names: `otlp` of `"as":"otlp/nginx"`; else "". */
function protocolOf(header) {
  try {
    return String(JSON.parse(textOfBytes(header)).as ?? "").split("/")[0];
  } catch {
    return "";
  }
}

// As it is, not set out anew: its numbers can have more digits than a number here.
function readable(text) {
  return [
    el("div", { class: "caption" }, el("h4", {}, "The same, readable"),
      el("span", { class: "dim" }, "as the index read it"), el("span", { class: "spring" }),
      copyButton("Copy readable form", () => text)),
    el("pre", { class: "bytes", tabindex: "0", "aria-label": "Readable form" }, data(text)),
  ];
}

// The case of the digits in \xNN is no difference.
function differs(indexed, text) {
  if (typeof indexed !== "string") return false;
  const same = (form) => form.replace(/\\x[0-9a-fA-F]{2}/g, (code) => code.toLowerCase());
  return same(indexed) !== same(text);
}

function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const chunk = bytes.subarray(at, at + 16);
    const pairs = hex(chunk).replace(/../g, "$& ").trimEnd().padEnd(47);
    const shown = Array.from(chunk, (byte) => (
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."
    )).join("");
    lines.push(`${at.toString(16).padStart(5, "0")}  ${pairs}  ${shown}`);
  }
  return lines.join("\n");
}
