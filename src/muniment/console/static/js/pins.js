// Keys that the user has pinned: kept in this browser, one for a shard, never sent anywhere.

const PREFIX = "muniment.pin.";

/** The pinned verifier key text of a shard, or null. */
export function pinned(log, shard) {
  try {
    return localStorage.getItem(`${PREFIX}${log}/${shard}`);
  } catch {
    return null; // Storage is switched off: then nothing is pinned.
  }
}

/** Pin a key for a shard; returns whether the browser kept it. */
export function pin(log, shard, verifierText) {
  try {
    localStorage.setItem(`${PREFIX}${log}/${shard}`, verifierText);
    return true;
  } catch {
    return false;
  }
}

/** Forget the pinned key of a shard. */
export function unpin(log, shard) {
  try {
    localStorage.removeItem(`${PREFIX}${log}/${shard}`);
  } catch {
    // Storage is switched off: nothing was pinned.
  }
}
