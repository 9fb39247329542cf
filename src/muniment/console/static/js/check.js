// The check that matters: are these bytes the entry with this index in the log whose head carries
// this signature? Every step is kept, so that a person can follow it. No network, no page.

import { leafHash, sameBytes, walk } from "./merkle.js";
import { checkSignature, parseProof, parseVerifier } from "./note.js";
import { grouped, hex } from "./text.js";

/** Whether this browser gives the page the hash function at all (it needs a secure context). */
export function canCheck() {
  return Boolean(globalThis.crypto?.subtle);
}

/**
 * Check one entry.
 *
 * `claim` is `{entry, proofText, index, origin, verifierText, pinnedText}`: the entry's bytes, the
 * proof file, the index asked for, the origin that the checkpoint must name, the key that the
 * server shows and the key that the user has pinned (null when none).
 *
 * Returns `{verdict, steps, proof, leaf}`. `verdict` is "holds", "unsigned" (inclusion holds, this
 * browser cannot check Ed25519) or "fails". A step is `{name, ok, said, path?, bytes?}` where `ok`
 * is true, false, or null for "not checked"; after the first false the rest is not walked.
 */
export async function checkEntry(claim) {
  const steps = [];
  const record = (name, ok, said, more = {}) => {
    steps.push({ name, ok, said, ...more });
    return ok !== false;
  };
  const leaf = await leafHash(claim.entry);
  record("Leaf", true, "SHA-256 of a zero byte and the entry's bytes", { bytes: leaf });
  let proof = null;
  try {
    proof = parseProof(claim.proofText);
    await follow(claim, leaf, proof, record);
  } catch (error) {
    record(proof ? "Key" : "Proof file", false, `${error.message}.`);
  }
  const failed = steps.some((step) => step.ok === false);
  const unsigned = steps.some((step) => step.ok === null);
  return { verdict: failed ? "fails" : unsigned ? "unsigned" : "holds", steps, proof, leaf };
}

async function follow(claim, leaf, proof, record) {
  const { checkpoint } = proof;
  if (proof.index !== BigInt(claim.index)) {
    record("Path", false, `The proof is for entry ${proof.index}, not for ${claim.index}.`);
    return;
  }
  if (!(await walkPath(leaf, proof, record))) return;
  const size = grouped(checkpoint.size);
  if (checkpoint.origin !== claim.origin) {
    const said = `The checkpoint is of “${checkpoint.origin}”, not of “${claim.origin}”.`;
    record("Checkpoint", false, said);
    return;
  }
  record("Checkpoint", true, `The head of ${checkpoint.origin} at size ${size} has this root.`);
  await checkKey(claim, checkpoint, record);
}

async function walkPath(leaf, proof, record) {
  let walked;
  try {
    walked = await walk(proof.index, proof.checkpoint.size, leaf, proof.hashes);
  } catch (error) {
    return record("Path", false, `${error.message}.`);
  }
  const count = walked.steps.length;
  const length = count === 1 ? "1 hash leads" : `${count} hashes lead`;
  record("Path", true, `${length} from the leaf to the root.`, { path: walked.steps });
  const same = sameBytes(walked.root, proof.checkpoint.root);
  const said = same
    ? "The computed root is the root in the checkpoint."
    : `The path leads to another root than the checkpoint's ${hex(proof.checkpoint.root)}.`;
  return record("Root", same, said, { bytes: walked.root });
}

async function checkKey(claim, checkpoint, record) {
  const shown = await parseVerifier(claim.verifierText);
  const pinned = claim.pinnedText ? await parseVerifier(claim.pinnedText) : null;
  if (pinned && pinned.text !== shown.text) {
    record("Key", false, "The server shows another key than the one pinned in this browser.");
  }
  const key = pinned ?? shown;
  const by = `${key.name}, key ${key.id}`;
  const said = {
    valid: `Ed25519 signature by ${by}: valid.`,
    invalid: `The Ed25519 signature by ${by} is wrong.`,
    absent: `The checkpoint carries no signature by ${by}.`,
    unsupported: "Not checked: this browser has no Ed25519.",
  };
  const outcome = await checkSignature(checkpoint, key);
  const ok = outcome === "unsupported" ? null : outcome === "valid";
  record("Signature", ok, said[outcome]);
}
