// What to show when there is nothing to show: how to send the first lines, or how to find more.

import * as api from "./api.js";
import { byId, copyButton, data, el } from "./dom.js";

const SYSLOG_PORT = 5514; // what `muniment serve` listens on unless told otherwise

/** How to send the first lines to `log`, with this page's own address filled in. */
export function firstLines(log) {
  const entries = api.address(`api/v1/logs/${encodeURIComponent(log)}/entries`, { as: "haproxy" });
  const host = location.hostname.replace(/^\[|\]$/g, "");
  const syslog = host.includes(":") ? `[${host}]:${SYSLOG_PORT}` : `${host}:${SYSLOG_PORT}`;
  const bearer = api.token.get() ? ' -H "Authorization: Bearer $MUNIMENT_TOKEN"' : "";
  return el("div", { class: "guide" },
    el("h2", {}, "The log is empty. Send it something:"),
    recipe("A file, with curl", `curl --data-binary @haproxy.log -H 'Content-Type: text/plain'`
      + `${bearer} '${entries}'`),
    recipe("HAProxy: in the section “global”, with “log global” in each frontend",
      `log ${syslog} len 8192 format rfc5424 local0`),
    recipe("NGINX: in the section “http” or “server”",
      `access_log syslog:server=${syslog},tag=nginx combined;`),
    el("p", { class: "dim" },
      "Syslog is taken over UDP and TCP on the server’s own machine, at port ",
      el("code", {}, SYSLOG_PORT), ", unless ", el("code", {}, "--syslog"),
      " names another address. Entries appear here as soon as they are durable and indexed."));
}

function recipe(title, command) {
  return el("div", { class: "recipe" },
    el("div", { class: "caption" }, el("h3", {}, title), el("span", { class: "spring" }),
      copyButton("Copy", () => command)),
    el("pre", { tabindex: "0" }, command));
}

/** No entry matches: say so, and offer the wider range unless it is the widest already. */
export function noMatch(state, onAll) {
  return el("div", { class: "guide" },
    el("h2", {}, "No entry matches"),
    state.q && el("p", {}, "in this time range: ", data(state.q, {}, "code")),
    state.range !== "all" && el("button", { type: "button", onclick: onAll }, "Search all time"));
}

/** The live tail has nothing yet. */
export function quiet() {
  return el("div", { class: "guide" }, el("h2", {}, "Waiting for the next entry…"));
}

let declined = false;

/** After the user has given up, a new wish of theirs may ask for a token again. */
export function mayAskAgain() {
  declined = false;
}

/**
 * Ask for a token in a dialog. Resolves to true once one was given (kept for this tab only), to
 * false when the user gives up. Requests that fail together share one dialog.
 */
export function askForToken(problem, shown) {
  if (api.token.get() !== shown) return Promise.resolve(true); // another request got one meanwhile
  if (declined) return Promise.resolve(false);
  const dialog = byId("token-dialog");
  byId("token-why").textContent = shown
    ? `The token was refused. ${problem.message}` : problem.message;
  if (!dialog.open) {
    byId("token").value = "";
    dialog.returnValue = "";
    byId("token-cancel").onclick = () => dialog.close("");
    dialog.showModal();
  }
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = byId("token").value.trim();
      const ok = dialog.returnValue === "ok" && given !== "";
      if (ok) api.token.set(given);
      declined = !ok;
      resolve(ok);
    }, { once: true });
  });
}
