// The gallery: filters, classes to show or hide, and pages of cards.
const PAGE = 60;
// Texts of a picture that say nothing of what is in it
const RECORD = ["image", "license"];
const chosen = { group: "", class: "", code: "", tag: "", state: "", words: "" };
const haystacks = data.items.map((item) =>
  [item.name, item.group, ...(item.tags || []), ...(item.classes || []).map((one) => data.classes[one]),
    ...(item.texts || []).map((text) => text[1])].join("\n").toLowerCase());
let found = data.items.map((_, index) => index);
let page = 0;

function tally(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  return [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

const total = (counted) => counted.reduce((sum, [, many]) => sum + many, 0);
const codes = (item) => (item.codes || []).map(([at]) => data.codes[at][0]);

// A filter is shown where it can tell items apart. Values may be any text, so options bear numbers
function filter(key, label, values, name = (value) => value) {
  const counts = tally(values).filter(([value]) => value !== "");
  if (!counts.length || (key === "group" && counts.length < 2)) return null;
  const select = make("select", { autocomplete: "off" }, make("option", { value: "" }, "All"));
  counts.forEach(([value, many], at) => select.append(make("option", { value: String(at) }, `${name(value)} (${count(many)})`)));
  select.addEventListener("change", () => {
    chosen[key] = select.value === "" ? "" : counts[Number(select.value)][0];
    choose();
  });
  return field(key, label, select);
}

// Beside each other, not one in the other: else what is chosen would be part of the name
function field(key, label, control) {
  control.id = `choose-${key}`;
  return make("div", { className: `field field-${key}` }, make("label", { htmlFor: control.id }, label), control);
}

function matches(item, index) {
  return (chosen.group === "" || (item.group || "") === chosen.group)
    && (chosen.class === "" || (item.classes || []).includes(chosen.class))
    && (chosen.code === "" || codes(item).includes(chosen.code))
    && (chosen.tag === "" || (item.tags || []).includes(chosen.tag))
    && (chosen.state === "" || (item.states || []).includes(chosen.state))
    && chosen.words.split(/\s+/).every((word) => haystacks[index].includes(word));
}

function choose() {
  found = data.items.map((_, index) => index).filter((index) => matches(data.items[index], index));
  page = 0;
  show();
}

// The button that opens an item, as in the gallery and in the pairs
function card(index, among) {
  const item = data.items[index];
  const meta = make("span", { className: "meta" });
  if (item.group) meta.append(make("span", {}, item.group));
  if (item.shapes) meta.append(make("span", {}, plural(item.shapes, "shape")));
  if (item.video) meta.append(make("span", {}, "▶ video"));
  for (const [at, many] of (item.codes || []).slice(0, 2)) {
    const [code, grave] = data.codes[at];
    meta.append(level({ level: grave }, many > 1 ? `${code} (${count(many)})` : code));
  }
  const more = total((item.codes || []).slice(2));
  if (more) meta.append(make("span", {}, `and ${count(more)} more`));
  const telling = item.shapes ? null : (item.texts || []).find(([label]) => !RECORD.includes(label));
  const words = telling ? make("span", { className: "words" }, telling[1].length > 200 ? `${telling[1].slice(0, 199)}…` : telling[1]) : null;
  const about = make("span", { className: "about" }, make("span", { className: "name" }, item.name), words, meta);
  const button = make("button", { type: "button", className: "card" }, pictures(index), about);
  button.dataset.item = index;
  button.addEventListener("click", () => openItem(index, among()));
  return button;
}

const gallery = { cards: make("ul", { className: "cards" }), told: make("output", {}), pagers: [] };

function show() {
  const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
  page = Math.min(page, last);
  const shown = found.slice(page * PAGE, (page + 1) * PAGE);
  const several = shown.map((index) => (body(index).pictures || []).length > 1);
  gallery.cards.className = several.length && several.every(Boolean) ? "cards broad" : "cards";
  gallery.cards.replaceChildren(...shown.map((index, at) =>
    make("li", { className: several[at] ? "several" : "" }, card(index, () => found))));
  if (!shown.length) gallery.cards.append(make("li", {}, "Nothing matches these filters."));
  gallery.told.textContent = found.length > PAGE
    ? `${count(page * PAGE + 1)} to ${count(page * PAGE + shown.length)} of ${count(found.length)}`
    : `${count(found.length)} of ${count(data.items.length)}`;
  for (const pager of gallery.pagers) pager(page, last);
}

// Buttons for the page before and the next: `go` is called with the page to show
function pager(name, go) {
  let now = 0;
  const button = (text, by) => {
    const made = make("button", { type: "button", className: "button" }, text);
    made.addEventListener("click", () => go(now + by));
    return made;
  };
  const [before, after, told] = [button("← Previous", -1), button("Next →", 1), make("span", {})];
  const element = make("div", { className: "pages", role: "group", "aria-label": name }, before, told, after);
  const update = (page, last) => {
    now = page;
    element.hidden = last === 0;
    told.textContent = `Page ${count(page + 1)} of ${count(last + 1)}`;
    before.disabled = page === 0;
    after.disabled = page === last;
  };
  return [element, update];
}

function toggles() {
  const used = tally(data.items.flatMap((item) => item.classes || []));
  if (!data.items.some((item) => item.shapes) || used.length < 2) return null;
  const boxes = used.map(([number]) => {
    const box = make("input", { type: "checkbox", checked: true, autocomplete: "off" });
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(number);
      else hidden.add(number);
      show();
    });
    return box;
  });
  const all = (checked) => {
    const button = make("button", { type: "button", className: "button" }, checked ? "Draw all" : "Draw none");
    button.addEventListener("click", () => {
      used.forEach(([number], at) => {
        boxes[at].checked = checked;
        if (checked) hidden.delete(number);
        else hidden.add(number);
      });
      show();
    });
    return button;
  };
  const stateless = data.items.every((item) => !item.states);
  const labels = used.map(([number], at) =>
    make("label", {}, boxes[at], stateless ? swatch(hue(number)) : null, data.classes[number]));
  const group = make("fieldset", { className: "toggles" }, make("legend", { className: "unseen" }, "Classes that are drawn"), ...labels);
  return make("details", { className: "classes" }, make("summary", {}, "Classes that are drawn"), group, all(true), " ", all(false));
}

function legend() {
  const states = Object.keys(STATES).filter((state) => data.items.some((item) => (item.states || []).includes(state)));
  if (!states.length) return null;
  const lines = states.map((state) => make("li", {}, swatch(STATES[state][1]), `${STATES[state][0]} ${STATES[state][2]}`));
  return make("ul", { className: "legend" }, ...lines);
}

function startGallery(place) {
  const search = make("input", { type: "search", autocomplete: "off", placeholder: "Name, caption, prompt, class …" });
  search.addEventListener("input", () => {
    chosen.words = search.value.trim().toLowerCase();
    choose();
  });
  const filters = [
    field("search", "Search", search),
    filter("group", data.titles.group, data.items.map((item) => item.group || "")),
    filter("class", "Class", data.items.flatMap((item) => item.classes || []), (number) => data.classes[number]),
    filter("code", data.titles.finding, data.items.flatMap(codes)),
    filter("tag", "Tag", data.items.flatMap((item) => item.tags || [])),
    filter("state", "Difference", data.items.flatMap((item) => item.states || [])),
  ];
  const clear = make("button", { type: "button", className: "button" }, "Clear");
  const form = make("form", { className: "controls", role: "search" }, ...filters, clear);
  form.addEventListener("submit", (event) => event.preventDefault());
  clear.addEventListener("click", () => {
    form.reset();
    for (const key of Object.keys(chosen)) chosen[key] = "";
    choose();
  });
  const told = make("div", { className: "pages" }, gallery.told);
  const tops = pager("Pages of items", (to) => turnTo(to, false));
  const bottoms = pager("Pages of items, below", (to) => turnTo(to, true));
  gallery.pagers = [tops[1], bottoms[1]];
  told.append(tops[0]);
  place.append(...[form, toggles(), legend(), told, gallery.cards, bottoms[0]].filter(Boolean));
  gallery.cards.addEventListener("keydown", walk);
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key !== "/" || typing || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    search.focus();
  });
  show();
}

function turnTo(to, up) {
  page = to;
  show();
  if (up) document.getElementById("items").scrollIntoView();
}

// Arrows go from card to card
function walk(event) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const cards = [...gallery.cards.querySelectorAll(".card")];
  const next = by && cards[cards.indexOf(document.activeElement) + by];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
