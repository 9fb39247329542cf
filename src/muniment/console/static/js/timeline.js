// The answer of …/histogram, made into what the chart draws.

import { el } from "./dom.js";
import { both } from "./query.js";
import { grouped } from "./text.js";
import { serverNow } from "./api.js";
import { SPANS } from "./times.js";

const NAMES = ["5xx", "4xx", "3xx", "2xx", "1xx", "other"];

/** What is asked for on its own when the server does not split its counts by status class. */
export const TROUBLE = { "5xx": "status:500..599", "4xx": "status:400..499" };

/**
 * `{start, end, step, buckets, total, classes, split}` for the chart, or null without buckets.
 * `split` tells whether the server counted status classes.
 */
export function timeline(answer, state) {
  const buckets = (answer.buckets ?? []).map((bucket) => ({
    start: bucket.start, count: bucket.count, classes: filled(bucket.status ?? {}, bucket.count),
  }));
  if (!buckets.length) return null;
  const split = answer.buckets.some((bucket) => bucket.status);
  return summed({ ...span(buckets, answer.step, state), step: answer.step, buckets, split });
}

/** What no class accounts for is "other". */
function filled(classes, count) {
  const named = NAMES.reduce((sum, name) => sum + (name === "other" ? 0 : classes[name] ?? 0), 0);
  return { ...classes, other: Math.max(0, count - named) };
}

function summed(model) {
  const sum = (read) => model.buckets.reduce((total, bucket) => total + read(bucket), 0);
  return {
    ...model,
    total: sum((bucket) => bucket.count),
    classes: new Map(NAMES.map((name) => [name, sum((bucket) => bucket.classes[name] ?? 0)])),
  };
}

/** The axis covers what was asked for, also where nothing was found. */
function span(buckets, step, state) {
  const first = buckets[0].start;
  const last = buckets.at(-1).start + step;
  if (state.range in SPANS) {
    const now = serverNow();
    return { start: Math.min(first, now - SPANS[state.range]), end: Math.max(last, now) };
  }
  return {
    start: state.from ? Math.min(first, Date.parse(state.from)) : first,
    end: state.to ? Math.max(last, Date.parse(state.to)) : last,
  };
}

/** The parameters that count the entries of a status class in the very buckets of `model`. */
export function troubleParams(model, q, term) {
  const { buckets, step } = model;
  const iso = (instant) => new Date(instant).toISOString();
  return {
    q: both(q, term),
    from: iso(buckets[0].start),
    to: iso(buckets.at(-1).start + step),
    buckets: buckets.length,
  };
}

/** `model` with counts of its own for each class in `answers` (`{"5xx": answer, …}`). */
export function stacked(model, answers) {
  const counts = Object.entries(answers).map(([name, answer]) => [
    name, new Map((answer.buckets ?? []).map((bucket) => [bucket.start, bucket.count])),
  ]);
  const buckets = model.buckets.map((bucket) => {
    const classes = counts.map(([name, at]) => [name, at.get(bucket.start) ?? 0]);
    return { ...bucket, classes: filled(Object.fromEntries(classes), bucket.count) };
  });
  return summed({ ...model, buckets });
}

const TERMS = {
  ...TROUBLE, "3xx": "status:300..399", "2xx": "status:200..299", "1xx": "status:100..199",
};

/** The legend: one button a status class that occurs; `onPick(term)` narrows the search to it. */
export function legend(model, onPick) {
  if (!model) return [];
  return NAMES.filter((name) => model.classes.get(name)).map((name) => {
    const label = [el("span", { class: `swatch s-${name}` }), name, " ",
      el("b", {}, grouped(model.classes.get(name)))];
    return TERMS[name]
      ? el("button", {
        type: "button", class: "key", title: `Only ${name}`, onclick: () => onPick(TERMS[name]),
      }, label)
      : el("span", { class: "key" }, label);
  });
}
