// C2SP signed notes, checkpoints, verifier keys and proof files, parsed strictly. Each function
// throws a FormatError with a plain sentence; none of them decides what to trust.

import { HASH_SIZE, plainHash } from "./merkle.js";
import { hex } from "./text.js";

const ED25519_LOG = 0x01;
const encoder = new TextEncoder();

/** What was read does not have the form that C2SP gives it. */
export class FormatError extends Error {}

/** Bytes of canonical base64, or a FormatError that calls the thing `what`. */
export function base64Bytes(text, what) {
  let binary;
  try {
    binary = atob(text);
  } catch {
    throw new FormatError(`${what} is not base64`);
  }
  if (btoa(binary) !== text) throw new FormatError(`${what} is not canonical base64`);
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function decimal(text, what) {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) throw new FormatError(`${what} is not a number`);
  return BigInt(text);
}

/**
 * A verifier key text `NAME+hex8(keyid)+base64(type || public key)`.
 *
 * Returns `{text, name, id, key}` (`id` as 8 hex digits, `key` 32 bytes) once the id has been
 * recomputed; only Ed25519 log keys (type 01) are taken.
 */
export async function parseVerifier(text) {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+(.+)$/.exec(text.trim());
  if (!match) throw new FormatError("the verifier key is not NAME+ID+KEY");
  const [, name, id, encoded] = match;
  const typed = base64Bytes(encoded, "the verifier key");
  if (typed[0] !== ED25519_LOG || typed.length !== 33) {
    throw new FormatError("the verifier key is not an Ed25519 log key");
  }
  const wanted = await keyId(name, typed);
  if (wanted !== id) throw new FormatError(`the verifier key's id is ${id}, it must be ${wanted}`);
  return { text: text.trim(), name, id, key: typed.subarray(1) };
}

async function keyId(name, typed) {
  const named = encoder.encode(`${name}\n`);
  const joined = new Uint8Array(named.length + typed.length);
  joined.set(named);
  joined.set(typed, named.length);
  return hex((await plainHash(joined)).subarray(0, 4));
}

/** A signed note: `{text, signed, signatures: [{name, id, blob}]}`; `signed` is text as bytes. */
export function parseNote(note) {
  if (/[\u0000-\u0009\u000b-\u001f\u007f]/.test(note)) {
    throw new FormatError("the note holds a control character");
  }
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0 || !note.endsWith("\n")) throw new FormatError("the note has no signature part");
  const text = note.slice(0, cut + 1);
  const signatures = note.slice(cut + 2, -1).split("\n").map(parseSignature);
  return { text, signed: encoder.encode(text), signatures };
}

function parseSignature(line) {
  const match = /^— ([^+\s]+) (\S+)$/.exec(line);
  if (!match) throw new FormatError("a signature line is malformed");
  const blob = base64Bytes(match[2], "a signature");
  if (blob.length < 5) throw new FormatError("a signature is too short");
  return { name: match[1], id: hex(blob.subarray(0, 4)), blob: blob.subarray(4) };
}

/** A checkpoint: the note with `origin`, `size` (BigInt) and `root` (32 bytes). */
export function parseCheckpoint(text) {
  const note = parseNote(text);
  const [origin, size, root] = note.text.split("\n");
  if (!origin || root === undefined) throw new FormatError("the checkpoint lacks a line");
  const bytes = base64Bytes(root, "the checkpoint's root");
  if (bytes.length !== HASH_SIZE) throw new FormatError("the checkpoint's root is not 32 bytes");
  return { ...note, origin, size: decimal(size, "the checkpoint's size"), root: bytes };
}

/** A tlog-proof file: `{index, hashes, extra, checkpoint}` (`checkpoint` as parsed). */
export function parseProof(text) {
  const lines = text.split("\n");
  if (lines[0] !== "c2sp.org/tlog-proof@v1") throw new FormatError("this is not a tlog-proof v1");
  let at = 1;
  let extra = null;
  if (lines[at]?.startsWith("extra ")) {
    extra = base64Bytes(lines[at].slice(6), "the extra data");
    at += 1;
  }
  if (!lines[at]?.startsWith("index ")) throw new FormatError("the proof has no index line");
  const index = decimal(lines[at].slice(6), "the proof's index");
  const end = lines.indexOf("", at);
  if (end < 0) throw new FormatError("the proof has no checkpoint");
  const hashes = lines.slice(at + 1, end).map((line) => base64Bytes(line, "a hash of the proof"));
  if (hashes.length > 63) throw new FormatError("the proof has more than 63 hashes");
  if (hashes.some((hash) => hash.length !== HASH_SIZE)) {
    throw new FormatError("a hash of the proof is not 32 bytes");
  }
  return { index, hashes, extra, checkpoint: parseCheckpoint(lines.slice(end + 1).join("\n")) };
}

/**
 * Check the log signature of a parsed note with a parsed verifier key.
 *
 * Returns "valid", "invalid", "absent" (no signature by this key), or "unsupported" when this
 * browser's WebCrypto has no Ed25519.
 */
export async function checkSignature(note, verifier) {
  const mine = note.signatures.filter((s) => s.name === verifier.name && s.id === verifier.id);
  if (!mine.length) return "absent";
  let key;
  try {
    const kind = { name: "Ed25519" };
    key = await crypto.subtle.importKey("raw", verifier.key, kind, false, ["verify"]);
  } catch (error) {
    if (error.name === "NotSupportedError") return "unsupported";
    throw new FormatError("the verifier key is not a usable Ed25519 key");
  }
  for (const { blob } of mine) {
    if (blob.length !== 64) return "invalid";
    const good = await crypto.subtle.verify({ name: "Ed25519" }, key, blob, note.signed);
    if (!good) return "invalid";
  }
  return "valid";
}
