// What is in the page, elements made of it, and shapes over pictures. Text is only ever set as text.
const data = JSON.parse(document.getElementById("data").textContent);
const parsed = new Map();
const SVG = "http://www.w3.org/2000/svg";
const STATES = {
  added: ["+", "hsl(135 75% 55%)", "added"],
  removed: ["−", "hsl(0 95% 70%)", "removed"],
  moved: ["→", "hsl(42 100% 58%)", "moved: where it is"],
  was: ["←", "hsl(42 100% 72%)", "moved: where it was"],
  changed: ["≠", "hsl(285 90% 78%)", "changed"],
  same: ["", "hsl(210 20% 80%)", "as it was"],
};
const hidden = new Set();
const count = (many) => many.toLocaleString("en");
const plural = (many, one) => `${count(many)} ${one}${many === 1 ? "" : "s"}`;

// Pictures and shapes of an item: those of twenty items are parsed when one of them is first seen
function body(index) {
  const which = Math.floor(index / data.chunk);
  if (!parsed.has(which)) parsed.set(which, JSON.parse(document.getElementById(`items-${which}`).textContent));
  return parsed.get(which)[index % data.chunk];
}

function make(name, about = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(about)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function draw(name, about) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(about)) element.setAttribute(key, value);
  return element;
}

// Neighbors in the list of classes get hues far apart, all bright enough for a label in black
const hue = (number) => `hsl(${Math.round((number * 137.508 + 20) % 360)} 90% ${number % 2 ? 80 : 68}%)`;
const color = (shape) => (shape.state ? STATES[shape.state][1] : hue(shape.class));
const title = (shape) => `${shape.state ? `${STATES[shape.state][0]} `.trimStart() : ""}${data.classes[shape.class]}`;

function swatch(value) {
  const element = make("span", { className: "swatch" });
  element.style.background = value;
  return element;
}

// A shape as up to three paths: lines, points that are seen, points that are hidden
function strokes(shape) {
  if (shape.kind !== "keypoints") return { line: shape.d || "", dots: "", faint: "" };
  const points = shape.points || [];
  const there = (at) => points[at] && points[at][2] > 0;
  const dot = ([x, y]) => `M${x} ${y}h0`;
  const bones = (shape.skeleton || []).filter(([a, b]) => there(a) && there(b));
  return {
    line: bones.map(([a, b]) => `M${points[a][0]} ${points[a][1]}L${points[b][0]} ${points[b][1]}`).join(""),
    dots: points.filter((point) => point[2] > 1).map(dot).join(""),
    faint: points.filter((point) => point[2] === 1).map(dot).join(""),
  };
}

function paths(drawn, shape, halo) {
  const kinds = { line: shape.kind === "outline" ? "filled" : "", dots: "dots", faint: "dots faint" };
  const made = [];
  for (const [part, kind] of Object.entries(kinds)) {
    if (!drawn[part]) continue;
    if (halo) made.push(draw("path", { d: drawn[part], class: `shape halo ${part === "line" ? "" : "dots"}` }));
    const path = draw("path", { d: drawn[part], class: `shape ${kind} ${shape.state || ""}`, stroke: color(shape) });
    // Not as an attribute: the style sheet's own `fill` is stronger than that
    if (kind === "filled") path.style.fill = color(shape);
    made.push(path);
  }
  return made;
}

function canvas(picture) {
  return draw("svg", { viewBox: `0 0 ${picture.width} ${picture.height}`, "aria-hidden": "true" });
}

// In a small picture, all shapes of a class are one path
function small(picture, shapes) {
  const kinds = new Map();
  for (const shape of shapes) {
    const key = `${shape.kind} ${shape.class} ${shape.state || ""}`;
    const before = kinds.get(key) || { shape, line: "", dots: "", faint: "" };
    const drawn = strokes(shape);
    for (const part of ["line", "dots", "faint"]) before[part] += drawn[part];
    kinds.set(key, before);
  }
  const svg = canvas(picture);
  for (const one of kinds.values()) svg.append(...paths(one, one.shape, false));
  return svg;
}

// In a large one, each shape is a group of its own, and says where its label goes
function large(picture, shapes) {
  const svg = canvas(picture);
  const groups = shapes.map((shape) => {
    const group = draw("g", {});
    group.append(...paths(strokes(shape), shape, true));
    svg.append(group);
    return group;
  });
  return [svg, groups];
}

function frame(picture, alt) {
  const element = make("span", { className: "frame" });
  if (picture.src) element.append(make("img", { src: picture.src, alt, decoding: "async", draggable: false }));
  else element.append(make("span", { className: "missing" }, picture.note || "No picture"));
  return element;
}

function visible(item, picture) {
  return (item.shapes || []).filter((shape) => shape.picture === picture && !hidden.has(shape.class));
}

function pictures(index) {
  const item = body(index);
  const strip = make("span", { className: "strip" });
  (item.pictures || []).forEach((picture, at) => {
    const one = frame(picture, "");
    if (picture.width && picture.height) one.append(small(picture, visible(item, at)));
    strip.append(one);
  });
  if (!strip.children.length) strip.append(frame({}, ""));
  return strip;
}

function level(finding, text) {
  return make("span", { className: `level ${finding.level}` }, text);
}
