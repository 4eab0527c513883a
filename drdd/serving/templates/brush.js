/** A brush that marks what is to be filled, in the picture's own pixels: by mouse, finger, pen or keyboard.
 *
 * The mask is a list of strokes, so undoing one draws the others again. */

import { part } from "./elements.js";

const TINT = "#e5195f";
const canvas = part("brush-mask");
const pen = canvas.getContext("2d");
let done = []; // strokes: { size, erase, points: [[x, y], ...] }, or { all: "clear" | "invert" }
let undone = [];
let stroke = null; // the one that is being drawn
let at = [0, 0]; // where the keyboard's brush is, in pixels of the picture

/** Offer the brush for a picture; an empty mask. width, height: of the picture, 0 if the browser cannot show it. */
export function offerBrush(url, width, height) {
  done = [];
  undone = [];
  part("brush").hidden = width * height === 0;
  part("brush").open = false;
  if (width * height === 0) return;
  Object.assign(canvas, { width, height });
  part("brush-picture").src = url;
  part("brush-stage").style.setProperty("--ratio", width / height);
  part("brush-stage").style.setProperty("--width", width);
  const largest = Math.max(8, Math.round(Math.min(width, height) / 2));
  Object.assign(part("brush-size"), { max: largest, value: Math.max(4, Math.round(Math.min(width, height) / 24)) });
  at = [width / 2, height / 2];
  draw();
}

/** The share of the picture that is marked, 0 to 1. */
export function marked() {
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let place = 3; place < data.length; place += 4) count += data[place] > 127;
  return count / (data.length / 4);
}

/** The mask as a PNG: white where the picture is to be filled, black elsewhere. */
export function maskFile() {
  const { width, height } = canvas;
  const white = new OffscreenCanvas(width, height).getContext("2d");
  white.drawImage(canvas, 0, 0);
  white.globalCompositeOperation = "source-in";
  white.fillStyle = "#fff";
  white.fillRect(0, 0, width, height);
  const mask = new OffscreenCanvas(width, height);
  const paper = mask.getContext("2d");
  paper.fillRect(0, 0, width, height);
  paper.drawImage(white.canvas, 0, 0);
  return mask.convertToBlob({ type: "image/png" });
}

// --- drawing

function draw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const each of done) add(each);
  part("brush-undo").disabled = done.length === 0;
  part("brush-redo").disabled = undone.length === 0;
}

function add({ all, size, erase, points }) {
  pen.save();
  pen.strokeStyle = pen.fillStyle = TINT;
  if (all === "clear") pen.clearRect(0, 0, canvas.width, canvas.height);
  if (all === "invert") {
    pen.globalCompositeOperation = "xor";
    pen.fillRect(0, 0, canvas.width, canvas.height);
  }
  if (points) {
    Object.assign(pen, { lineWidth: size, lineCap: "round", lineJoin: "round" });
    if (erase) pen.globalCompositeOperation = "destination-out";
    pen.beginPath();
    pen.arc(...points[0], size / 2, 0, 2 * Math.PI); // a line without length is not drawn
    pen.fill();
    pen.beginPath();
    pen.moveTo(...points[0]);
    for (const point of points) pen.lineTo(...point);
    pen.stroke();
  }
  pen.restore();
}

function keep(each) {
  done.push(each);
  undone = [];
  draw();
}

function undo() {
  if (done.length > 0) undone.push(done.pop());
  draw();
  say(`Undone. ${share()}`);
}

function redo() {
  if (undone.length > 0) done.push(undone.pop());
  draw();
  say(`Done again. ${share()}`);
}

const share = () => `${(100 * marked()).toFixed(1)} % is marked.`;
const say = (words) => { part("brush-status").textContent = words; };
const size = () => Number(part("brush-size").value);
const erases = () => part("brush-erase").getAttribute("aria-pressed") === "true";

// --- by pointer

function placeOf({ clientX, clientY }) {
  const box = canvas.getBoundingClientRect();
  return [(clientX - box.left) * canvas.width / box.width, (clientY - box.top) * canvas.height / box.height];
}

function showRing([x, y]) {
  at = [x, y];
  const ring = part("brush-ring");
  ring.hidden = false;
  ring.style.left = `${100 * x / canvas.width}%`;
  ring.style.top = `${100 * y / canvas.height}%`;
  ring.style.width = `${100 * size() / canvas.width}%`;
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  event.preventDefault(); // which would take the focus away
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  stroke = { size: size(), erase: erases(), points: [placeOf(event)] };
  add(stroke);
});
canvas.addEventListener("pointermove", (event) => {
  showRing(placeOf(event));
  if (!stroke) return;
  const last = stroke.points.at(-1);
  const next = event.getCoalescedEvents?.().map(placeOf) ?? [];
  stroke.points.push(...(next.length > 0 ? next : [placeOf(event)]));
  add({ ...stroke, points: [last, ...stroke.points.slice(-1 - next.length)] });
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (!stroke) return;
    keep(stroke);
    stroke = null;
    say(share());
  });
}
canvas.addEventListener("pointerleave", () => { if (document.activeElement !== canvas) part("brush-ring").hidden = true; });

// --- by keyboard

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let held = false; // the space bar, so that arrows draw

canvas.addEventListener("keydown", (event) => {
  const { key } = event;
  if (event.ctrlKey || event.metaKey) return;
  if (key in STEPS) move(STEPS[key].map((step) => step * (event.shiftKey ? 1 : Math.max(1, size() / 2))));
  else if (key === " ") {
    if (!held) keep({ size: size(), erase: erases(), points: [at] });
    held = true;
    say(`${erases() ? "Erased" : "Marked"} at ${place()}. ${share()}`);
  } else if (key === "e") part("brush-erase").click();
  else if (key === "+" || key === "-") resize(size() * (key === "+" ? 1.25 : 0.8));
  else return;
  event.preventDefault();
});
canvas.addEventListener("keyup", ({ key }) => { if (key === " ") held = false; });
canvas.addEventListener("focus", () => showRing(at));
canvas.addEventListener("blur", () => {
  held = false;
  part("brush-ring").hidden = true;
});

const place = () => `${Math.round(at[0])}, ${Math.round(at[1])}`;

function move([right, down]) {
  const before = at;
  showRing([Math.min(canvas.width, Math.max(0, at[0] + right)), Math.min(canvas.height, Math.max(0, at[1] + down))]);
  if (held) keep({ size: size(), erase: erases(), points: [before, at] });
  say(held ? `${place()}. ${share()}` : place());
}

function resize(to) {
  part("brush-size").value = Math.round(to);
  showRing(at);
  say(`The brush is ${size()} pixels wide.`);
}

// --- the tools

part("brush").addEventListener("keydown", (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  const key = event.key.toLowerCase();
  if (key === "y" || (key === "z" && event.shiftKey)) redo();
  else if (key === "z") undo();
  else return;
  event.preventDefault();
});
part("brush-size").addEventListener("input", () => resize(size()));
part("brush-undo").addEventListener("click", undo);
part("brush-redo").addEventListener("click", redo);
part("brush-erase").addEventListener("click", ({ target }) => {
  target.setAttribute("aria-pressed", !erases());
  say(erases() ? "The brush erases." : "The brush marks.");
});
for (const all of ["clear", "invert"]) {
  part(`brush-${all}`).addEventListener("click", () => {
    keep({ all });
    say(share());
  });
}
