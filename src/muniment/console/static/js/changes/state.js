// What the page of changes shows, as it stands in the address bar.

const DEFAULTS = Object.freeze({
  log: "", view: "objects", find: "", object: "", a: "", b: "", at: "", window: "900", since: "24h",
});
const VIEWS = new Set(["objects", "explain", "completeness"]);

/** The state that a query string describes; what is malformed is left out. */
export function readState(query) {
  const params = new URLSearchParams(query);
  const state = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) state[name] = params.get(name) ?? DEFAULTS[name];
  if (!VIEWS.has(state.view)) state.view = DEFAULTS.view;
  return state;
}

/** The query string of a state, shortest form. */
export function writeState(state) {
  const params = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    if (state[name] && state[name] !== usual) params.set(name, state[name]);
  }
  const text = params.toString();
  return text ? `?${text}` : location.pathname;
}

/** Where an entry is shown with its proof. */
export function entryLink(log, { shard, index }) {
  const [q, entry] = [`shard:${shard} index:${index}`, `${shard}:${index}`];
  const params = new URLSearchParams({ log, range: "all", q, entry });
  return `./?${params}`;
}

/** Where it is shown what happened around a time. */
export function aroundLink(log, at) {
  return `changes.html?${new URLSearchParams({ log, view: "explain", at })}`;
}

/** Where an object is shown. */
export function objectLink(log, object) {
  return `changes.html?${new URLSearchParams({ log, object })}`;
}
