// How an OCSF event becomes a line of the list and a tree of fields.

const API_ACTIVITY = 6003;
const STATUS_NAMES = { 1: "ok", 2: "fail" };

/** "2xx" … "5xx" for an HTTP status, "ok"/"bad" for an OCSF status_id, else "none". */
export function statusClass(row) {
  const code = httpStatus(row);
  if (code >= 100 && code < 600) return `${Math.floor(code / 100)}xx`;
  if (row.status_id === 1) return "ok";
  if (row.status_id === 2) return "bad";
  return "none";
}

function httpStatus(row) {
  const code = Number(row.http_response?.code ?? NaN);
  return Number.isInteger(code) ? code : 0;
}

/** The parts of one line: all strings, empty when the event has no such part. */
export function summary(row) {
  const request = row.http_request ?? {};
  return {
    status: statusText(row),
    method: request.http_method ?? (request.url && row.api?.operation) ?? "",
    ...target(row, request.url ?? {}),
    client: client(row),
    backend: backend(row),
    duration: typeof row.duration === "number" ? row.duration : null,
    unread: row.class_uid === 0 && Boolean(row.parse_error),
    partly: row.class_uid !== 0 && Boolean(row.parse_error),
  };
}

function statusText(row) {
  const code = httpStatus(row);
  if (code > 0) return String(code);
  return STATUS_NAMES[row.status_id] ?? row.status_code ?? "";
}

function target(row, url) {
  if (row.message && !httpStatus(row)) {
    // An error about a request: what went wrong says more than what was asked for.
    const asked = `${url.hostname ?? ""}${url.path ?? ""}`;
    return { host: "", path: [row.message, asked].filter(Boolean).join(" · ") };
  }
  if (url.path || url.url_string || row.http_request?.http_method) {
    const query = url.query_string ? `?${url.query_string}` : "";
    return { host: url.hostname ?? "", path: (url.path ?? url.url_string ?? "") + query };
  }
  const action = row.api?.operation;
  const on = (row.resources ?? []).map((one) => one.name ?? one.uid).filter(Boolean).join(", ");
  const change = action && [action, on].filter(Boolean).join(" ");
  return { host: "", path: change || row.message || row.raw_data || "" };
}

/** Who did it, where that is known: an audit is read by names. Else where the request came from. */
function client(row) {
  const name = row.actor?.user?.name ?? "";
  return (row.class_uid === API_ACTIVITY && name) || endpoint(row.src_endpoint) || name;
}

function endpoint(end) {
  if (!end) return "";
  const where = end.ip ?? end.hostname ?? end.name ?? "";
  if (end.port === undefined || !where) return where;
  return where.includes(":") ? `[${where}]:${end.port}` : `${where}:${end.port}`;
}

function backend(row) {
  const balancer = row.load_balancer ?? {};
  const end = balancer.dst_endpoint ?? row.dst_endpoint ?? {};
  const group = end.svc_name ?? "";
  const server = end.name ?? (group ? "" : endpoint(end));
  return [group, server].filter(Boolean).join("/");
}

/** Where an entry stands in its log, as one key: `shard:index`. */
export function keyOf(row) {
  return `${row.shard}:${row.index}`;
}

const FIRST = [
  "time_dt", "time", "received", "source", "class_uid", "activity_id", "severity_id", "status_id",
];
const PLACE = ["log", "shard", "index"];

/** Top-level names in reading order: when and what first, then the rest, the address last. */
export function orderedNames(row) {
  const own = Object.keys(row).filter((name) => !FIRST.includes(name) && !PLACE.includes(name));
  return [...FIRST, ...own, ...PLACE].filter((name) => name in row && name !== "raw_data");
}

/** What a coded value means, for those codes that a reader meets all the time; else "". */
export function meaning(name, value) {
  return CODES[name]?.[value] ?? "";
}

const CODES = {
  class_uid: {
    0: "Base Event", 3002: "Authentication", 3004: "Entity Management", 4001: "Network Activity",
    4002: "HTTP Activity", 6002: "Application Lifecycle", 6003: "API Activity",
  },
  category_uid: {
    0: "Uncategorized", 3: "Identity & Access Management", 4: "Network Activity",
    6: "Application Activity",
  },
  severity_id: {
    0: "Unknown", 1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal",
  },
  status_id: { 0: "Unknown", 1: "Success", 2: "Failure", 99: "Other" },
};
