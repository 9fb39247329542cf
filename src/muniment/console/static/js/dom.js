// Building blocks for the page. Text goes in as text nodes only; there is no path from a string to
// markup, and no style attribute (the content security policy refuses those).

import { visible } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element. In `props`, `on…` is a listener, `class`, `aria-*`, `data-*` and the rest are
 * attributes, `false`/`null`/`undefined` leaves one out. Strings among `children` become text.
 */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element, made like `el`. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

/** Text of a log, inert, in an element of its own: direction isolated, unseen characters shown. */
export function data(text, props = {}, tag = "span") {
  const node = el(tag, { ...props, class: `data ${props.class ?? ""}`.trim(), dir: "ltr" });
  node.append(visible(String(text)));
  return node;
}

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** One of the page's own icons, from its symbol in index.html. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

/** A button that copies what `read()` gives, and says that it did. */
export function copyButton(label, read, props = {}) {
  const button = el("button", { type: "button", class: "quiet", title: label, ...props });
  button.append(icon("copy"), el("span", { class: props.text ? "" : "visually-hidden" }, label));
  button.addEventListener("click", async () => {
    const done = await copy(read());
    announce(done ? "Copied." : "The browser refused to copy.");
    button.classList.toggle("done", done);
    setTimeout(() => button.classList.remove("done"), 1200);
  });
  return button;
}

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Permission refused: the older way below may still work.
    }
  }
  const area = el("textarea", { class: "visually-hidden", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/** Hand `content` to the user as a file. */
export function download(name, content, type = "application/octet-stream") {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Say something to assistive technology without moving the focus. */
export function announce(text) {
  const region = byId("announcer");
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}
