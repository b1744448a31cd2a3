// Findings and pairs, by pages; and what starts it all.
const ROWS = 50;
const PAIRS = 20;

function said(row) {
  const code = row.href ? make("a", { href: row.href, rel: "noopener noreferrer", className: "code" }, row.code) : make("span", { className: "code" }, row.code);
  return [
    make("p", {}, level(row, row.level), " ", code),
    make("p", {}, row.message || ""),
    row.hint ? make("p", { className: "quiet" }, row.hint) : null,
  ];
}

function byCode(rows) {
  const found = new Map();
  rows.forEach((row) => found.set(row.code, [...(found.get(row.code) || []), row]));
  return [...found.values()];
}

// Findings of one code about one item: what they are is said once, and the file of each where there are several
function together(rows) {
  const several = new Set(rows.map((row) => row.path)).size > 1;
  const messages = rows.map((row) => make("p", {}, row.message || "", ...(several ? [" ", make("code", {}, row.path)] : [])));
  const hints = [...new Set(rows.map((row) => row.hint))].filter(Boolean);
  return make("li", {}, said(rows[0])[0], ...messages, ...hints.map((hint) => make("p", { className: "quiet" }, hint)));
}

// Items that findings point to, in the order of the findings
function pointed() {
  return [...new Set(data.findings.map((row) => row.item).filter((index) => index !== undefined))];
}

function finding(row) {
  const view = make("td", { className: "act" });
  if (row.item !== undefined) {
    const button = make("button", { type: "button", className: "button", "aria-label": `Show ${data.items[row.item].name}` }, "Show");
    button.addEventListener("click", () => openItem(row.item, pointed()));
    view.append(button);
  }
  const [what, message, hint] = said(row);
  const path = row.path ? make("p", {}, make("code", {}, row.path)) : null;
  return make("tr", {}, make("td", { className: "what" }, what), make("td", {}, message, path, hint), view);
}

function startFindings(place) {
  const select = make("select", { autocomplete: "off" }, make("option", { value: "" }, "All"));
  const counts = [...data.codes].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  counts.forEach(([code, , many]) => select.append(make("option", { value: code }, `${code} (${count(many)})`)));
  const head = make("tr", {}, ...[data.titles.finding, data.titles.message].map((name) => make("th", { scope: "col" }, name)), make("td", { className: "act" }));
  const rows = make("tbody");
  const table = make("table", { className: "rows findings", "aria-labelledby": "findings-title" }, make("thead", {}, head), rows);
  const [element, update] = pager("Pages of findings", fill);
  const few = make("p", { className: "quiet", role: "status" });
  function fill(page) {
    const kept = data.findings.filter((row) => !select.value || row.code === select.value);
    const many = select.value ? counts.find(([code]) => code === select.value)[2] : kept.length;
    few.textContent = kept.length < many ? `${count(kept.length)} of ${count(many)} are listed.` : "";
    rows.replaceChildren(...kept.slice(page * ROWS, (page + 1) * ROWS).map(finding));
    update(page, Math.max(0, Math.ceil(kept.length / ROWS) - 1));
  }
  select.addEventListener("change", () => fill(0));
  if (counts.length > 1) place.append(make("div", { className: "controls" }, field("finding", "Code", select)));
  place.append(few, table, element);
  fill(0);
}

function startPairs(place) {
  const list = make("ul", { className: "pair-list" });
  const [element, update] = pager("Pages of pairs", fill);
  function fill(page) {
    list.replaceChildren(...data.pairs.slice(page * PAIRS, (page + 1) * PAIRS).map(([a, b, what, distance]) => {
      const far = distance === null ? "" : ` (distance ${distance})`;
      const both = make("div", { className: "both" }, card(a, () => [a, b]), card(b, () => [a, b]));
      return make("li", { className: "pair" }, `${what}${far}`, both);
    }));
    update(page, Math.max(0, Math.ceil(data.pairs.length / PAIRS) - 1));
  }
  place.append(list, element);
  fill(0);
}

for (const [name, start] of [["gallery", startGallery], ["finding-rows", startFindings], ["pair-rows", startPairs]]) {
  const place = document.getElementById(name);
  if (place) start(place);
}
const asked = /^#item-(\d+)$/.exec(location.hash);
if (asked && Number(asked[1]) < data.items.length) openItem(Number(asked[1]), found);
