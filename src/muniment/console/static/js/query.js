// Terms of the query language, as far as the page writes them itself.

const PLAIN = /^[A-Za-z0-9_/@%+=,;?&#$~{}[\]|'^!:.-]+$/;

/** A value as it must stand after `field:`: bare when nothing in it could be read otherwise. */
export function quoted(value) {
  const text = String(value);
  return PLAIN.test(text) ? text : `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

/** A term that asks for (or, with `exclude`, refuses) one value of one field. */
export function term(field, value, exclude = false) {
  return `${exclude ? "-" : ""}${field}:${quoted(value)}`;
}

/**
 * `query` with a term added. A term that stands there already is not repeated, and its opposite
 * gives way to it.
 */
export function withTerm(query, field, value, exclude = false) {
  const added = term(field, value, exclude);
  const padded = ` ${query.trim()} `;
  if (padded.includes(` ${added} `)) return query.trim();
  const kept = padded.replace(` ${term(field, value, !exclude)} `, " ").trim();
  return both(kept, added);
}

/** A query for what both queries ask; OR binds weaker, so a query with one is put in parentheses. */
export function both(query, added) {
  const known = query.trim();
  return `${/ OR /.test(known) ? `(${known})` : known} ${added}`.trim();
}

/** What the language can say: shown as help, and as chips that can be tried. */
export const EXAMPLES = [
  { q: "status:>=500", says: "failed requests" },
  { q: "path:/api/* method:POST", says: "writes to the API" },
  { q: "client:192.0.2.7", says: "one client" },
  { q: "error:*", says: "lines that did not parse" },
  { q: "source:haproxy -status:200", says: "HAProxy, but not 200" },
  { q: '"timed out"', says: "words in the raw line" },
];
