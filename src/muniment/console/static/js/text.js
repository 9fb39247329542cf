// Text from a log is hostile until shown otherwise: nothing here, and nothing that uses it, ever
// turns data into markup. Characters that would hide or reorder what is read are shown by name.

/** C0 names of ECMA-48, by code point. */
const C0 = (
  "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN "
  + "EM SUB ESC FS GS RS US"
).split(" ");

const SPOKEN = new Map([
  [0x7f, "DEL"], [0xad, "SHY"], [0x061c, "ALM"], [0x200b, "ZWSP"], [0x200c, "ZWNJ"],
  [0x200d, "ZWJ"], [0x200e, "LRM"], [0x200f, "RLM"], [0x202a, "LRE"], [0x202b, "RLE"],
  [0x202c, "PDF"], [0x202d, "LRO"], [0x202e, "RLO"], [0x2060, "WJ"], [0x2066, "LRI"],
  [0x2067, "RLI"], [0x2068, "FSI"], [0x2069, "PDI"], [0xfeff, "BOM"],
]);

// Controls, bidirectional controls, zero-width and other invisible characters, tags, and halves of
// surrogate pairs, which JSON can carry and fonts cannot show.
const UNSEEN = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f"
  + "\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ud800-\\udfff\\ufe00-\\ufe0f\\ufeff"
  + "\\uffa0\\ufff0-\\ufffb\\u{e0000}-\\u{e0fff}]",
  "gu",
);

/** The name under which an unseen character is shown: `RLO`, `ESC`, or `U+2028`. */
export function nameOf(character) {
  const code = character.codePointAt(0);
  return C0[code] ?? SPOKEN.get(code) ?? codePoint(code);
}

function codePoint(code) {
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** A fragment that shows `text` with every unseen character as a small labelled box. */
export function visible(text) {
  const fragment = document.createDocumentFragment();
  let end = 0;
  for (const match of String(text).matchAll(UNSEEN)) {
    if (match.index > end) fragment.append(text.slice(end, match.index));
    fragment.append(box(match[0]));
    if (match[0] === "\n") fragment.append("\n");
    end = match.index + match[0].length;
  }
  if (end < text.length) fragment.append(end ? text.slice(end) : text);
  return fragment;
}

function box(character) {
  const mark = document.createElement("span");
  mark.className = "unseen";
  mark.textContent = nameOf(character);
  mark.title = codePoint(character.codePointAt(0));
  return mark;
}

/**
 * Bytes as text: valid UTF-8 (Unicode table 3-7) as it is, every other byte as `\xNN`. This is the
 * form of the index's `raw_data`, so the two can be compared.
 */
export function textOfBytes(bytes) {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const parts = [];
  let start = 0;
  let at = 0;
  while (at < bytes.length) {
    const width = sequenceWidth(bytes, at);
    if (width) {
      at += width;
      continue;
    }
    if (at > start) parts.push(decoder.decode(bytes.subarray(start, at)));
    parts.push(`\\x${bytes[at].toString(16).padStart(2, "0")}`);
    at += 1;
    start = at;
  }
  if (at > start) parts.push(decoder.decode(bytes.subarray(start, at)));
  return parts.join("");
}

/** Length of the well-formed UTF-8 sequence at `at`, or 0. */
function sequenceWidth(bytes, at) {
  const lead = bytes[at];
  if (lead < 0x80) return 1;
  const width = lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) === 0xe0 ? 3
    : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (!width || at + width > bytes.length) return 0;
  const low = { 0xe0: 0xa0, 0xf0: 0x90 }[lead] ?? 0x80;
  const high = { 0xed: 0x9f, 0xf4: 0x8f }[lead] ?? 0xbf;
  if (bytes[at + 1] < low || bytes[at + 1] > high) return 0;
  for (let i = 2; i < width; i += 1) if ((bytes[at + i] & 0xc0) !== 0x80) return 0;
  return width;
}

/** Lower-case hex of bytes. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const GROUPED = new Intl.NumberFormat("en");

/** A count with thousands separators. */
export function grouped(count) {
  return GROUPED.format(count);
}

/** `1 entry`, `2 entries`. */
export function counted(count, one, many = `${one}s`) {
  return `${grouped(count)} ${count === 1 || count === 1n ? one : many}`;
}

/** A duration in milliseconds as people read it: `4 ms`, `1.25 s`, `3 min 5 s`. */
export function durationText(milliseconds) {
  if (milliseconds < 1000) return `${milliseconds} ms`;
  if (milliseconds < 60_000) return `${Number((milliseconds / 1000).toPrecision(3))} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
