// One item, large: arrows go to the next one of the list that it was opened from.
const dialog = document.getElementById("detail");
const view = { list: [], at: 0, drawn: true, labeled: true, player: null };
const LISTED = 200;

function openItem(index, list) {
  view.list = list.includes(index) ? list : [index];
  view.at = view.list.indexOf(index);
  fill();
  if (!dialog.open) dialog.showModal();
}

function go(by) {
  const next = view.at + by;
  if (next < 0 || next >= view.list.length) return;
  view.at = next;
  fill();
}

// Where scripts may not write an address, there is none to share; all else works
function address(text) {
  try {
    history.replaceState(null, "", text);
  } catch {
    return;
  }
}

function fill() {
  const index = view.list[view.at];
  const item = data.items[index];
  const focused = document.activeElement && document.activeElement.dataset.act;
  release();
  const shapes = body(index).shapes || [];
  const top = heading(item, shapes.length);
  const stage = make("div", { className: "stage", tabIndex: 0, role: "region", "aria-label": "Pictures" });
  const groups = new Map();
  const film = video(index);
  const pictures = body(index).pictures || [];
  const high = pictures.length > 1 || film ? 40 : 74;
  pictures.forEach((picture, at) => stage.append(figure(index, picture, at, high, groups)));
  if (film) stage.append(film);
  const side = make("div", { className: "side", tabIndex: 0, role: "region", "aria-label": "About this item" }, ...about(item), ...listed(shapes, groups));
  dialog.replaceChildren(top, stage, side);
  if (dialog.open) place(groups, shapes);
  else requestAnimationFrame(() => place(groups, shapes));
  const again = focused && dialog.querySelector(`[data-act="${focused}"]:not(:disabled)`);
  (again || dialog.querySelector('[data-act="close"]')).focus();
  address(`#item-${index}`);
}

function heading(item, drawable) {
  const button = (act, text, label, action) => {
    const made = make("button", { type: "button", className: "button", "aria-label": label }, text);
    made.dataset.act = act;
    made.addEventListener("click", action);
    return made;
  };
  const check = (text, key) => {
    const box = make("input", { type: "checkbox", checked: view[key], autocomplete: "off" });
    box.dataset.act = key;
    box.addEventListener("change", () => {
      view[key] = box.checked;
      fill();
    });
    return make("label", { className: "check" }, box, text);
  };
  const before = button("before", "←", "Previous item", () => go(-1));
  const after = button("after", "→", "Next item", () => go(1));
  before.disabled = view.at === 0;
  after.disabled = view.at === view.list.length - 1;
  const name = make("h2", { id: "detail-name" }, item.name);
  const checks = drawable ? [check("Shapes", "drawn"), check("Labels", "labeled")] : [];
  const where = make("span", { className: "quiet", role: "status" }, `${count(view.at + 1)} of ${count(view.list.length)}`);
  const close = button("close", "Close", "Close", () => dialog.close());
  return make("div", { className: "bar-top" }, name, ...checks, before, where, after, close);
}

function figure(index, picture, at, high, groups) {
  const item = body(index);
  const one = frame(picture, `${picture.label || "Picture"} of ${data.items[index].name}`);
  if (picture.width && picture.height) {
    one.style.aspectRatio = `${picture.width} / ${picture.height}`;
    one.style.maxWidth = `calc(${high}dvh * ${picture.width / picture.height})`;
    one.style.display = "block";
    if (view.drawn) {
      const seen = visible(item, at);
      const [svg, drawn] = large(picture, seen);
      one.append(svg);
      seen.forEach((shape, number) => groups.set(shape, { group: drawn[number], picture, frame: one }));
    }
  } else {
    one.style.display = "block";
    one.style.minHeight = "160px";
  }
  const size = picture.width && picture.height ? `${count(picture.width)} × ${count(picture.height)} pixels` : "";
  const words = [picture.label, size, picture.src ? picture.note : ""].filter(Boolean).join(" · ");
  return make("figure", {}, one, make("figcaption", {}, words));
}

// Labels stand where shapes begin, once these have a size on the screen
function place(groups, shapes) {
  if (!view.labeled || shapes.length > LISTED) return;
  const layers = new Map();
  const named = new Set(shapes.filter((shape) => shape.kind !== "keypoints").map((shape) => shape.class));
  for (const [shape, { group, picture, frame }] of groups) {
    // Keypoints lie in a box of the same class, as a rule: one label is enough
    if (!title(shape) || (shape.kind === "keypoints" && named.has(shape.class))) continue;
    const area = group.getBBox();
    const label = make("span", {}, title(shape));
    label.style.background = color(shape);
    label.style.left = `${Math.min(92, Math.max(0, (100 * area.x) / picture.width))}%`;
    const top = Math.min(94, Math.max(0, (100 * area.y) / picture.height));
    label.style.top = `${top}%`;
    // Above the shape where there is room: a small one would be covered
    if ((top * frame.clientHeight) / 100 > 18) label.style.transform = "translateY(-100%)";
    if (!layers.has(frame)) layers.set(frame, make("span", { className: "labels", "aria-hidden": "true" }));
    layers.get(frame).append(label);
  }
  for (const [frame, layer] of layers) frame.append(layer);
}

function video(index) {
  const film = body(index).video;
  if (!film) return null;
  const told = make("figcaption", { className: "name" }, film.note || "");
  const element = make("figure");
  const cannot = () => {
    element.replaceChildren(make("p", { className: "quiet" }, `This browser cannot play the video (${film.type}).`), told);
  };
  if (!film.src) {
    element.append(make("p", { className: "quiet" }, "The video is not in this page."), told);
    return element;
  }
  const player = make("video", { controls: true, preload: "metadata", playsInline: true, loop: true });
  player.setAttribute("aria-label", `Video of ${data.items[index].name}`);
  element.append(player, told);
  try {
    // As a blob one can seek in it in every browser
    const bytes = Uint8Array.from(atob(film.src.slice(film.src.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
    player.addEventListener("error", cannot);
    player.src = URL.createObjectURL(new Blob([bytes], { type: film.type }));
    view.player = player;
  } catch {
    cannot();
  }
  return element;
}

function release() {
  if (!view.player) return;
  const held = view.player.src;
  // It may still be loading: first it lets go
  view.player.removeAttribute("src");
  view.player.load();
  URL.revokeObjectURL(held);
  view.player = null;
}

function about(item) {
  const parts = [];
  const tags = [item.group, ...(item.tags || [])].filter(Boolean);
  if (tags.length) {
    parts.push(make("ul", { className: "tags" }, ...tags.map((tag) => make("li", { className: "tag" }, tag))));
  }
  for (const [label, value] of item.texts || []) {
    parts.push(make("h3", {}, label || "Text"), make("p", { className: "text" }, value));
  }
  if (item.codes) {
    const all = total(item.codes);
    const rows = (item.findings || []).map((row) => data.findings[row]);
    parts.push(make("h3", {}, `${data.titles.findings} (${count(all)})`));
    if (rows.length) parts.push(make("ul", { className: "list" }, ...byCode(rows).map(together)));
    if (rows.length < all) {
      const few = item.codes.map(([at, many]) => `${data.codes[at][0]} (${count(many)})`).join(", ");
      parts.push(make("p", { className: "quiet" }, `${count(rows.length)} of ${count(all)} are listed here; in all: ${few}.`));
    }
  }
  const drawn = new Set((body(view.list[view.at]).shapes || []).map((shape) => shape.class));
  const others = (item.classes || []).filter((number) => !drawn.has(number));
  if (others.length) {
    parts.push(make("h3", {}, "Classes that are not drawn"));
    parts.push(make("ul", { className: "tags" }, ...others.map((number) => make("li", { className: "tag" }, data.classes[number]))));
  }
  return parts;
}

function listed(shapes, groups) {
  if (!shapes.length) return [];
  const mark = (shape, on) => {
    for (const [other, { group }] of groups) {
      group.classList.toggle("marked", on && other === shape);
      group.classList.toggle("dimmed", on && other !== shape);
    }
  };
  const rows = shapes.slice(0, LISTED).map((shape) => {
    const words = make("span", { className: "name" }, title(shape));
    const detail = shape.detail ? make("small", {}, shape.detail) : null;
    const state = shape.state ? make("span", { className: "unseen" }, `, ${STATES[shape.state][2]}`) : null;
    const button = make("button", { type: "button", className: "one", "aria-pressed": "false" }, swatch(color(shape)), words, state, detail);
    // Moved, not only there: a pointer that the view opened under marks nothing
    button.addEventListener("mousemove", () => mark(shape, true));
    button.addEventListener("mouseleave", () => mark(shape, false));
    button.addEventListener("focus", () => mark(shape, true));
    button.addEventListener("blur", () => mark(shape, false));
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      for (const other of button.closest("ul").querySelectorAll(".one")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(pressed));
      mark(shape, pressed);
    });
    return make("li", { className: "tight" }, button);
  });
  const rest = shapes.length > LISTED ? make("li", { className: "quiet" }, `and ${count(shapes.length - LISTED)} more`) : null;
  return [make("h3", {}, plural(shapes.length, "shape")), make("ul", { className: "list" }, ...rows, rest)];
}

dialog.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by || event.altKey || event.ctrlKey || event.metaKey || event.target.tagName === "VIDEO") return;
  event.preventDefault();
  go(by);
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
dialog.addEventListener("close", () => {
  const index = view.list[view.at];
  release();
  dialog.replaceChildren();
  address("#items");
  const there = gallery.cards.querySelector(`[data-item="${index}"]`);
  if (there && document.activeElement === document.body) there.focus();
});
