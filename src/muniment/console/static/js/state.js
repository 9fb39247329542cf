// What the page shows is a state, and the state is in the address bar: a search can be shared, and
// Back goes back.

import { SPANS } from "./times.js";

export const DEFAULTS = Object.freeze({
  log: "", q: "", range: "1h", from: "", to: "", live: false, entry: "",
});

const RANGES = new Set([...Object.keys(SPANS), "all", "custom"]);
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;
const ENTRY = /^[0-9a-f]{8}:\d{1,19}$/;

/** The state that a query string (`?q=…`) describes; what is malformed is left out. */
export function readState(query) {
  const params = new URLSearchParams(query);
  const get = (name) => params.get(name) ?? DEFAULTS[name];
  const instant = (name) => (INSTANT.test(get(name)) ? get(name) : "");
  const [from, to] = [instant("from"), instant("to")];
  const named = RANGES.has(get("range")) ? get("range") : DEFAULTS.range;
  return {
    log: get("log"),
    q: get("q"),
    range: from || to ? "custom" : named === "custom" ? DEFAULTS.range : named,
    from,
    to,
    live: params.get("live") === "1",
    entry: ENTRY.test(get("entry")) ? get("entry") : "",
  };
}

/** The query string of a state, shortest form; the inverse of `readState`. */
export function writeState(state) {
  const params = new URLSearchParams();
  if (state.log) params.set("log", state.log);
  if (state.q) params.set("q", state.q);
  if (state.range === "custom") {
    if (state.from) params.set("from", state.from);
    if (state.to) params.set("to", state.to);
  } else if (state.range !== DEFAULTS.range) {
    params.set("range", state.range);
  }
  if (state.live) params.set("live", "1");
  if (state.entry) params.set("entry", state.entry);
  const text = params.toString();
  return text ? `?${text}` : location.pathname;
}

/** Whether two states ask for the same rows (an open entry does not matter). */
export function sameSearch(a, b) {
  return ["log", "q", "range", "from", "to", "live"].every((name) => a[name] === b[name]);
}
