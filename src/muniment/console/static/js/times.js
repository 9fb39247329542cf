// Time ranges and how instants are written. Instants are milliseconds since the epoch.

import { serverNow } from "./api.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The ranges that reach back from now, by their name in the address bar. */
export const SPANS = { "15m": 15 * MINUTE, "1h": HOUR, "24h": DAY, "7d": 7 * DAY };

/**
 * The bounds of a state's time range as the API takes them: `{from, to}`, RFC 3339 or null.
 *
 * A range that reaches back from now has no end, so that an entry whose sender's clock runs a
 * little ahead is not missed.
 */
export function bounds(state) {
  if (state.range === "all") return { from: null, to: null };
  if (state.range === "custom") return { from: state.from || null, to: state.to || null };
  return { from: new Date(serverNow() - SPANS[state.range]).toISOString(), to: null };
}

const ZONE = "muniment.zone";
let zone = readZone();

function readZone() {
  try {
    return localStorage.getItem(ZONE) === "local" ? "local" : "utc";
  } catch {
    return "utc";
  }
}

/** "utc" or "local": the zone in which times are written. */
export function currentZone() {
  return zone;
}

/** Write times in "utc" or "local" from now on. */
export function setZone(name) {
  zone = name;
  try {
    localStorage.setItem(ZONE, name);
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
}

/** The name of the current zone for a heading: `UTC` or `UTC+02:00`. */
export function zoneName(instant = Date.now()) {
  if (zone === "utc") return "UTC";
  const offset = -new Date(instant).getTimezoneOffset();
  const minutes = Math.abs(offset);
  return `UTC${offset < 0 ? "−" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

function two(number) {
  return String(number).padStart(2, "0");
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

const NO_TIME = { day: "–", date: "–", clock: "–", fraction: "" };

/** The parts of an instant in the current zone. */
export function partsOf(instant) {
  const date = new Date(instant);
  const shifted = zone === "utc" ? date : new Date(instant - date.getTimezoneOffset() * MINUTE);
  if (Number.isNaN(shifted.getTime())) return { ...NO_TIME };
  const iso = shifted.toISOString();
  const [, year, month, day] = /^([+-]?\d+)-(\d\d)-(\d\d)/.exec(iso);
  return {
    day: `${day} ${MONTHS[Number(month) - 1]}`,
    date: `${year}-${month}-${day}`,
    clock: iso.slice(-13, -5),
    fraction: iso.slice(-5, -1),
  };
}

/** `2026-11-20 23:06:18.734 UTC` */
export function longTime(instant) {
  const { date, clock, fraction } = partsOf(instant);
  return `${date} ${clock}${fraction} ${zoneName(instant)}`;
}

/** A label for a time axis whose ticks are `step` milliseconds apart. */
export function tickLabel(instant, step) {
  const { day, clock } = partsOf(instant);
  if (step >= DAY || clock === "00:00:00") return day;
  return step >= MINUTE ? clock.slice(0, 5) : clock;
}

const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY,
  90 * DAY, 365 * DAY,
];

/** Round instants within `[start, end]`, at most about `most` of them, and their distance. */
export function ticks(start, end, most) {
  const step = STEPS.find((size) => (end - start) / size <= most) ?? STEPS.at(-1);
  const shift = zone === "utc" ? 0 : new Date(start).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let at = Math.ceil((start - shift) / step) * step + shift; at <= end; at += step) {
    found.push(at);
  }
  return { step, at: found };
}

/** The value of a datetime-local field for an instant, and back; both in the current zone. */
export function toField(instant) {
  const { date, clock } = partsOf(instant);
  return `${date}T${clock}`;
}

export function fromField(value) {
  const instant = Date.parse(zone === "utc" ? `${value}Z` : value);
  return Number.isNaN(instant) ? null : new Date(instant).toISOString();
}
