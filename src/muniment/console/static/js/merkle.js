// RFC 6962 / RFC 9162 over WebCrypto: leaf hash, node hash, and the walk from a leaf to the root.
// Pure: bytes in, bytes out; sizes and indices are BigInt.

export const HASH_SIZE = 32;

async function sha256(...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** SHA-256(0x00 || entry), RFC 9162 section 2.1.1. */
export function leafHash(entry) {
  return sha256(LEAF, entry);
}

/** SHA-256(0x01 || left || right), RFC 9162 section 2.1.1. */
export function nodeHash(left, right) {
  return sha256(NODE, left, right);
}

/** SHA-256 without a prefix. */
export function plainHash(bytes) {
  return sha256(bytes);
}

/** Whether two byte strings are the same. */
export function sameBytes(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * Walk an inclusion proof as RFC 9162 section 2.1.3.2 says.
 *
 * Returns `{root, steps}`; a step is `{side, sibling, result}` where `side` says on which side the
 * sibling stands. Throws an Error with a plain message when the proof's length does not fit.
 */
export async function walk(index, size, leaf, hashes) {
  if (index < 0n || index >= size) {
    throw new Error(`entry ${index} cannot be in a tree of size ${size}`);
  }
  let position = index;
  let last = size - 1n;
  let current = leaf;
  const steps = [];
  for (const sibling of hashes) {
    if (last === 0n) throw new Error("the proof has more hashes than the path needs");
    const siblingIsLeft = (position & 1n) === 1n || position === last;
    current = siblingIsLeft
      ? await nodeHash(sibling, current)
      : await nodeHash(current, sibling);
    if (siblingIsLeft) {
      while ((position & 1n) === 0n && position !== 0n) {
        position >>= 1n;
        last >>= 1n;
      }
    }
    position >>= 1n;
    last >>= 1n;
    steps.push({ side: siblingIsLeft ? "left" : "right", sibling, result: current });
  }
  if (last !== 0n) throw new Error("the proof has fewer hashes than the path needs");
  return { root: current, steps };
}
