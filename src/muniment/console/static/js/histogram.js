// Entries over time, stacked by status class; drag, or use the arrow keys, to pick a range.

import { announce, el, svg } from "./dom.js";
import { counted, grouped } from "./text.js";
import { longTime, tickLabel, ticks } from "./times.js";

const HEIGHT = 76;
const PLOT = 56;
const TOP = 6;
/** Stacked from the bottom: what went wrong stands on the base line, where it compares best. */
const CLASSES = ["5xx", "4xx", "3xx", "2xx", "1xx", "other"];

/** The buckets that fit a chart `width` pixels wide. */
export function bucketsFor(width) {
  return Math.max(20, Math.min(200, Math.floor(width / 9)));
}

/** `element` gets the chart; `onRange(start, end)` is called with the picked instants. */
export class Histogram {
  constructor(element, onRange) {
    this.element = element;
    this.onRange = onRange;
    this.model = null;
    this.cursor = -1;
    this.anchor = -1;
    this.tip = el("div", { class: "tip", hidden: true });
    this.canvas = svg("svg", { class: "chart", "aria-hidden": "true", height: HEIGHT });
    element.append(this.canvas, this.tip);
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(element);
  }

  /** Show `{start, end, step, buckets: [{start, count, classes}]}`, or nothing for null. */
  show(model) {
    const same = this.model?.step === model?.step
      && this.model?.buckets.length === model?.buckets.length;
    this.model = model;
    if (!same) this.cursor = this.anchor = -1; // else a picking under way goes on
    this.draw();
  }

  get width() {
    return Math.max(200, this.element.clientWidth);
  }

  draw() {
    const { canvas, model, width } = this;
    canvas.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    canvas.setAttribute("width", width);
    canvas.replaceChildren();
    this.band = svg("rect", { class: "band", y: TOP, height: PLOT, width: 0 });
    canvas.append(this.band, svg("line", { class: "axis", x1: 0, x2: width, y1: 62.5, y2: 62.5 }));
    if (!model || model.end <= model.start) return this.#mark();
    const highest = Math.max(1, ...model.buckets.map((bucket) => bucket.count));
    for (const bucket of model.buckets) if (bucket.count) this.#bar(bucket, highest);
    this.#axis();
    if (model.buckets.length) {
      canvas.append(svg("text", { class: "top", x: 4, y: TOP + 9 }, grouped(highest)));
    }
    return this.#mark();
  }

  #x(instant) {
    const { start, end } = this.model;
    return ((instant - start) / (end - start)) * this.width;
  }

  #bar(bucket, highest) {
    const left = this.#x(bucket.start);
    const wide = this.#x(bucket.start + this.model.step) - left;
    let base = TOP + PLOT;
    for (const name of CLASSES) {
      const count = bucket.classes[name] ?? 0;
      if (!count) continue;
      // One entry among millions must still be seen.
      const tall = Math.max(1, (count / highest) * PLOT);
      base -= tall;
      this.canvas.append(svg("rect", {
        class: `bar s-${name}`, x: left, y: base, width: Math.max(1, wide - 1), height: tall,
      }));
    }
  }

  #axis() {
    const { start, end } = this.model;
    const { step, at } = ticks(start, end, this.width / 90);
    for (const instant of at) {
      const x = this.#x(instant);
      if (x < 16 || x > this.width - 16) continue;
      this.canvas.append(
        svg("line", { class: "axis", x1: x, x2: x, y1: 62, y2: 66 }),
        svg("text", { class: "tick", x, y: HEIGHT - 1 }, tickLabel(instant, step)),
      );
    }
  }

  #bucketAt(x) {
    const { start, end, step, buckets } = this.model;
    const instant = start + (x / this.width) * (end - start);
    const index = Math.floor((instant - buckets[0].start) / step);
    return Math.max(0, Math.min(buckets.length - 1, index));
  }

  /** Draw the band over the picked buckets and the tip beside them. */
  #mark() {
    const shown = this.cursor >= 0 && this.model?.buckets.length;
    this.tip.hidden = !shown;
    if (!shown) return this.band.setAttribute("width", 0);
    const { from, to } = this.#picked();
    const left = Math.max(0, this.#x(from));
    const right = Math.min(this.width, this.#x(to));
    this.band.setAttribute("x", left);
    this.band.setAttribute("width", Math.max(0, right - left));
    this.tip.replaceChildren(...this.#tipLines(from, to));
    const middle = (left + right) / 2;
    this.tip.classList.toggle("leftward", middle > this.width / 2);
    this.tip.style.insetInlineStart = `${middle}px`;
    return undefined;
  }

  #picked() {
    const { buckets, step } = this.model;
    const ends = [this.cursor, this.anchor < 0 ? this.cursor : this.anchor];
    const [first, last] = [Math.min(...ends), Math.max(...ends)];
    return { from: buckets[first].start, to: buckets[last].start + step, first, last };
  }

  #tipLines(from, to) {
    const { first, last } = this.#picked();
    const sums = new Map();
    let all = 0;
    for (const bucket of this.model.buckets.slice(first, last + 1)) {
      all += bucket.count;
      for (const name of CLASSES) {
        sums.set(name, (sums.get(name) ?? 0) + (bucket.classes[name] ?? 0));
      }
    }
    const lines = [el("b", {}, counted(all, "entry", "entries")),
      el("div", {}, longTime(from)), el("div", {}, `to ${longTime(to)}`)];
    const split = CLASSES.filter((name) => sums.get(name)).map((name) => el(
      "span", { class: `key s-${name}` }, `${name} ${grouped(sums.get(name))}`));
    if (split.length) lines.push(el("div", { class: "by-class" }, split));
    return lines;
  }

  #listen() {
    const { canvas, element } = this;
    const at = (event) => this.#bucketAt(event.clientX - canvas.getBoundingClientRect().left);
    const ready = () => Boolean(this.model?.buckets.length);
    canvas.addEventListener("pointermove", (event) => {
      if (!ready()) return;
      this.cursor = at(event);
      this.#mark();
    });
    canvas.addEventListener("pointerdown", (event) => {
      if (!ready() || event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.cursor = at(event);
      this.anchor = this.cursor;
      this.#mark();
    });
    canvas.addEventListener("pointerup", () => this.#pick());
    canvas.addEventListener("pointercancel", () => this.#clear());
    canvas.addEventListener("pointerleave", () => { if (this.anchor < 0) this.#clear(); });
    element.addEventListener("keydown", (event) => { if (ready()) this.#key(event); });
    element.addEventListener("blur", () => this.#clear());
  }

  #pick() {
    if (this.anchor < 0 || !this.model?.buckets.length) return;
    const { from, to } = this.#picked();
    this.#clear();
    this.onRange(from, to);
  }

  #clear() {
    this.cursor = -1;
    this.anchor = -1;
    if (this.band) this.#mark();
  }

  #key(event) {
    const last = this.model.buckets.length - 1;
    const moves = { ArrowLeft: this.cursor - 1, ArrowRight: this.cursor + 1, Home: 0, End: last };
    if (event.key in moves) {
      if (event.shiftKey && this.anchor < 0) this.anchor = Math.max(0, this.cursor);
      if (!event.shiftKey) this.anchor = -1;
      this.cursor = Math.max(0, Math.min(last, moves[event.key]));
      this.#mark();
      announce(Array.from(this.tip.children, (line) => line.textContent).join(", "));
    } else if (event.key === "Enter" && this.cursor >= 0) {
      if (this.anchor < 0) this.anchor = this.cursor;
      this.#pick();
    } else if (event.key === "Escape" && this.cursor >= 0) {
      this.#clear();
      event.stopPropagation();
    } else {
      return;
    }
    event.preventDefault();
  }
}
