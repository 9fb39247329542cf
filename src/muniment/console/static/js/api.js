// The HTTP API as this page uses it. Every failure becomes a Problem with words for a person.

const BASE = new URL("./", document.baseURI);
const PATIENCE = 30_000; // milliseconds for an answer that is not a stream
const TOKEN = "muniment.token";

/** A failed request, in the terms of RFC 9457. `status` is 0 when no answer came. */
export class Problem extends Error {
  constructor({ status = 0, title = "", detail = "", advice = "", retryAfter = null }) {
    super(detail || title);
    Object.assign(this, { status, title, detail, advice, retryAfter });
  }
}

/** An address of the API, for a request or to show to a person. */
export function address(path, params = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** The token of this tab; kept in session storage, so that it dies with the tab. */
export const token = {
  get() {
    try {
      return sessionStorage.getItem(TOKEN) ?? "";
    } catch {
      return "";
    }
  },
  set(value) {
    try {
      if (value) sessionStorage.setItem(TOKEN, value);
      else sessionStorage.removeItem(TOKEN);
    } catch {
      // Storage is switched off: the token cannot be kept, the next request asks again.
    }
  },
};

let askForToken = async () => false;

/** Register what asks the user for a token: resolves to true once one has been set. */
export function onUnauthenticated(ask) {
  askForToken = ask;
}

let skew = 0;

/** The server's time in milliseconds, as far as its Date headers tell; else this machine's. */
export function serverNow() {
  return Date.now() + skew;
}

function learnTime(response) {
  const told = Date.parse(response.headers.get("date") ?? "");
  if (!Number.isFinite(told)) return;
  const difference = told - Date.now();
  skew = Math.abs(difference) > 3000 ? difference : 0; // the header has whole seconds
}

/** A response with a good status, or a Problem. A 401 asks for a token once, then tries again. */
export async function request(path, { params, headers = {}, signal, stream = false } = {}) {
  for (let attempt = 0; ; attempt += 1) {
    const shown = token.get();
    const bearer = shown ? { authorization: `Bearer ${shown}` } : {};
    const response = await send(address(path, params), { ...bearer, ...headers }, signal, stream);
    learnTime(response);
    if (response.ok) return response;
    const problem = await problemOf(response);
    const again = response.status === 401 && attempt < 3 && (await askForToken(problem, shown));
    if (!again) throw problem;
  }
}

async function send(url, headers, signal, stream) {
  const limits = stream ? [] : [AbortSignal.timeout(PATIENCE)];
  if (signal) limits.push(signal);
  try {
    return await fetch(url, {
      headers, signal: AbortSignal.any(limits), credentials: "same-origin", cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: error.name === "TimeoutError" ? "No answer in time" : "The server cannot be reached",
      detail: error.name === "TimeoutError"
        ? `The server did not answer within ${PATIENCE / 1000} seconds.`
        : "The server cannot be reached.",
      advice: error.name === "TimeoutError" ? "Narrow the time range." : "Is it still running?",
    });
  }
}

async function problemOf(response) {
  const text = await response.text().catch(() => "");
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // Not the server itself but something in front of it; its status must do.
  }
  return new Problem({
    status: response.status,
    title: String(body.title ?? `${response.status} ${response.statusText}`),
    detail: String(body.detail ?? ""),
    advice: String(body.advice ?? ""),
    retryAfter: response.headers.get("retry-after"),
  });
}

async function json(path, options) {
  const response = await request(path, options);
  return response.json();
}

const part = encodeURIComponent;

/** `[{name, shards: [{shard, origin, verifier, size}]}]` */
export async function logs(signal) {
  return (await json("api/v1/logs", { signal })).logs;
}

export function search(log, params, signal) {
  return json(`api/v1/logs/${part(log)}/search`, { params, signal });
}

export function histogram(log, params, signal) {
  return json(`api/v1/logs/${part(log)}/histogram`, { params, signal });
}

/** What else the API tells of a log by name: `objects`, `history`, `diff`, `completeness`, … */
export function ask(log, what, params, signal) {
  return json(`api/v1/logs/${part(log)}/${what}`, { params, signal });
}

/** A streaming response of server-sent events. */
export function tail(log, params, lastId, signal) {
  const headers = { accept: "text/event-stream", ...(lastId && { "last-event-id": lastId }) };
  return request(`api/v1/logs/${part(log)}/tail`, { params, headers, signal, stream: true });
}

/** The exact bytes of an entry: receipt header, newline, raw bytes. */
export async function entry(log, shard, index, signal) {
  const path = `api/v1/logs/${part(log)}/shards/${part(shard)}/entries/${part(index)}`;
  return new Uint8Array(await (await request(path, { signal })).arrayBuffer());
}

/** The tlog-proof file of an entry, as text. */
export async function proof(log, shard, index, signal) {
  const path = `api/v1/logs/${part(log)}/shards/${part(shard)}/entries/${part(index)}/proof`;
  return (await request(path, { signal })).text();
}

/** The published checkpoint of a shard, as text. */
export async function checkpoint(log, shard, signal) {
  return (await request(`tlog/${part(log)}/${part(shard)}/checkpoint`, { signal })).text();
}
