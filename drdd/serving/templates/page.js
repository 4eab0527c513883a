import { Problem, ask, hasKey, keepKey, sendPicture } from "./api.js";
import { marked, maskFile, offerBrush } from "./brush.js";
import { make, part, short } from "./elements.js";
import { followJob, forgetJob, markShown, sendJob, storedJob } from "./jobs.js";
import { showModel } from "./model.js";
import { coverWithMap, showUncertainty } from "./overlay.js";
import { chosenScale, offerScales } from "./scales.js";

const PIXELS_WITH_STATES = 2e6; // every state is a PNG of noise, about 3 bytes a pixel
const PIXELS_AS_REQUEST = 6e6; // times samples; more takes longer than about 10 s on two cores, and is sent as a job
let service = { models: [], metrics: [], limits: {} };
let picture = null; // what is being restored: { name, blob, url, width, height, mask }, mask: null or a blob
let running = null; // the AbortController of the request that is under way
let starter = null; // what had the focus when it began
let output = null; // the object URL of the output

function showProblem(problem) {
  if (!(problem instanceof Problem)) {
    console.error(problem);
    problem = new Problem("The page failed.", String(problem));
  }
  const wantsKey = problem.status === 401;
  if (wantsKey) part("key-form").hidden = false;
  part("problem").hidden = wantsKey && !hasKey();
  part("problem-title").textContent = problem.message;
  part("problem-detail").textContent = problem.detail;
  part("problem-origin").textContent = problem.origin;
  part("retry").hidden = wantsKey || !picture?.blob;
}

// --- what the service offers

async function loadService() {
  try {
    service = await (await ask("v1/models")).json();
  } catch (problem) {
    return showProblem(problem);
  }
  const select = part("model");
  if (service.models.length === 0) {
    return select.replaceChildren(make("option", { value: "", textContent: "none is loaded yet" }));
  }
  const before = select.value;
  select.replaceChildren(...service.models.map(({ alias, version }) =>
    make("option", { value: alias, textContent: `${alias} (${short(version)})` })));
  select.value = service.models.some(({ alias }) => alias === before) ? before : service.default;
  select.disabled = false;
  const { max_megabytes: megabytes, max_pixels: pixels } = service.limits;
  part("limits").textContent = `PNG, JPEG or WebP, up to ${megabytes} MB and ${+(pixels / 1e6).toFixed(1)} megapixels`;
  showChosen();
}

function showChosen() {
  showModel(chosenModel(), service.metrics);
  offerScales(chosenModel());
  showBrush();
}

const chosenModel = () => service.models.find(({ alias }) => alias === part("model").value);

async function loadSamples() {
  const { samples } = await (await ask("samples")).json();
  part("samples-part").hidden = samples.length === 0;
  part("samples").replaceChildren(...samples.map((name) => {
    const url = `samples/${encodeURIComponent(name)}`;
    const shown = name.replace(/\.[^.]*$/, "").replace(/[_-]+/g, " ");
    const button = make("button", { type: "button" },
      make("img", { src: url, alt: "" }), make("span", { textContent: shown }));
    button.addEventListener("click", () => takeSample(name, url, button));
    return button;
  }));
}

// --- taking a picture

async function takeSample(name, url, button) {
  starter = button;
  try {
    const blob = await (await ask(url)).blob();
    if (starter === button) await take(name, blob, button);
  } catch (problem) {
    showProblem(problem);
  }
}

async function take(name, blob, from = document.activeElement) {
  running?.abort();
  if (picture) URL.revokeObjectURL(picture.url);
  const taken = picture = { name, blob, url: URL.createObjectURL(blob), width: 0, height: 0, mask: null };
  starter = from;
  for (const button of part("samples").children) button.setAttribute("aria-pressed", button === from);
  const image = make("img", { src: taken.url });
  // One that the browser cannot read is sent all the same: the service says what is wrong with it.
  await image.decode().catch(() => {});
  if (picture !== taken) return;
  Object.assign(taken, { width: image.naturalWidth, height: image.naturalHeight });
  offerBrush(taken.url, taken.width, taken.height);
  showBrush();
  await restore();
}

/** A mask is for a picture that keeps its size. */
function showBrush() {
  const there = Boolean(picture?.blob && picture.width);
  part("brush").hidden = !there || chosenScale() > 1;
  part("brush-off").hidden = !there || chosenScale() === 1;
}

function takeFile(files) {
  if (files.length > 0) take(files[0].name, files[0]);
  else showProblem(new Problem("That is no file.", "Drop or paste a picture: PNG, JPEG or WebP."));
}

// --- restoring it

function options() {
  const fields = ["model", "steps", "noise_level", "seed", "metadata", "profile"].map((name) => [name, part(name).value]);
  if (!part("scale-part").hidden) fields.push(["scale", chosenScale()]);
  const samples = chosenSamples();
  if (samples > 1) fields.push(["samples", samples], ["answer", "json"]); // in which the map is
  return Object.fromEntries(fields.filter(([, value]) => value !== ""));
}

const chosenSamples = () => Number(part("draws").value) || 1;

async function restore() {
  running?.abort();
  part("problem").hidden = true;
  part("again").disabled = false;
  if (!part("form").reportValidity()) return;
  const sent = picture;
  if (chosenScale() > 1) sent.mask = null;
  await restoring(sent, async (signal) => {
    const megabytes = service.limits.max_megabytes ?? Infinity;
    if (sent.blob.size > megabytes * 1024 ** 2) {
      throw new Problem("The file is too large.", `The service takes up to ${megabytes} MB.`);
    }
    const pixels = sent.width * sent.height * chosenScale() ** 2;
    const asked = { ...options(), states: pixels <= PIXELS_WITH_STATES };
    if (pixels * chosenSamples() > PIXELS_AS_REQUEST) return sendJob(sent, asked, signal, showProgress);
    forgetJob(); // what it gave is no longer shown
    return sendPicture(sent, asked, signal);
  });
}

/** Follow the job that this tab had before it was loaded again. Of its picture a small copy is left. */
async function resume() {
  const { name, preview, shown } = storedJob();
  const left = picture = { name, blob: null, url: preview ?? "", width: 0, height: 0, mask: null };
  await restoring(left, (signal) => followJob(signal, showProgress), ({ status }) => {
    if ([404, 410].includes(status)) forgetJob();
    return !shown;
  });
}

/** answerOf: signal -> what sendPicture gives; tells: whether a problem is to be shown. */
async function restoring(sent, answerOf, tells = () => true) {
  const mine = running = new AbortController();
  const stopWaiting = wait(sent.name);
  try {
    const answer = await answerOf(mine.signal);
    await show(answer, sent, mine.signal);
    if (!mine.signal.aborted && storedJob()) markShown();
  } catch (problem) {
    if (!mine.signal.aborted && tells(problem)) showProblem(problem);
  } finally {
    if (running === mine) running = null;
    stopWaiting();
  }
}

function wait(name) {
  const begin = performance.now();
  const tick = () => {
    part("elapsed").textContent = `${Math.floor((performance.now() - begin) / 1000)} s`;
  };
  const timer = setInterval(tick, 250);
  const mine = running;
  tick();
  part("progress").hidden = true;
  part("waiting-for").textContent = `Restoring ${name}`;
  part("waiting").hidden = false;
  part("status").textContent = `Restoring ${name}`;
  return () => {
    clearInterval(timer);
    if (running === null || running === mine) part("waiting").hidden = true;
  };
}

/** job: as of GET /v1/jobs/ID. */
function showProgress({ status, position, progress }) {
  const waits = status === "waiting";
  part("progress").hidden = false;
  if (waits) part("progress").removeAttribute("value");
  else part("progress").value = progress;
  part("waiting-for").textContent = `Restoring ${picture.name}: ${waits ? `waiting, ${position} before it` : `${Math.floor(progress)} %`}`;
}

async function show(answer, sent, signal) {
  const { name, url: input } = sent;
  const url = URL.createObjectURL(answer.blob);
  const image = make("img", { src: url });
  await image.decode();
  if (signal.aborted) return URL.revokeObjectURL(url);
  if (output) URL.revokeObjectURL(output);
  output = url;
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  part("result-name").textContent = name;
  Object.assign(part("download"), { href: url, download: `${name.replace(/\.[^.]*$/, "")}-restored.png` });
  Object.assign(part("before"), { src: input, alt: "The input", hidden: !input });
  const enlarged = sent.width > 0 && width > sent.width;
  part("before-tag").textContent = enlarged ? "input, enlarged" : sent.blob ? "input" : input ? "a small copy of the input" : "";
  part("compare").style.setProperty("--ratio", width / height);
  part("compare").style.setProperty("--width", width);
  part("notes").hidden = answer.notes.length === 0;
  part("notes").textContent = `In the output: ${answer.notes.join("; ").replaceAll("->", "\u2192")}.`;
  compareWith("output", url);
  moveTo(50);
  showNumbers(answer, `${enlarged ? `${sent.width} \u00d7 ${sent.height} \u2192 ` : ""}${width} \u00d7 ${height}`);
  showUncertainty(answer.uncertainty, name);
  showStates(answer.states, url, answer.uncertainty);
  part("key-form").hidden = true;
  part("result").hidden = false;
  const { alias, version } = answer.model;
  part("status").textContent = `${name} is restored by ${alias}, version ${short(version)}, in ${answer.seconds.toFixed(2)} seconds.`;
  // The model was swapped since the page asked.
  if (!service.models.some((model) => model.version === version)) loadService();
  if (sent.blob && [starter, document.body, part("cancel")].includes(document.activeElement)) part("slider").focus();
}

function showNumbers({ model, seconds, waited, total }, pixels) {
  const second = (value) => `${value.toFixed(2)} s`;
  const numbers = [
    ["in the model", second(seconds)],
    ...(Number.isFinite(waited) ? [["waiting for it", second(waited)]] : []),
    ["from here and back", second(total)],
    ["pixels", pixels],
    [`version of ${model.alias}`, make("code", { textContent: short(model.version) })],
  ];
  part("numbers").replaceChildren(...numbers.map(([name, value]) =>
    make("div", { className: "number" }, make("dt", { textContent: name }), make("dd", {}, value))));
}

/** Of several samples the states are those of the first, whose last one is not the output. */
function showStates(states, url, several) {
  if (several && states.length > 0) states = [...states, { name: "output", image: url }];
  part("states-note").textContent = states.length > 0
    ? `A state takes the output's place in the comparison.${several ? " These are the first sample's." : ""}`
    : `They are shown for outputs of up to ${PIXELS_WITH_STATES / 1e6} megapixels.`;
  part("states").replaceChildren(...states.map(({ name, image }, index) => {
    const last = index === states.length - 1;
    const button = make("button", { type: "button" },
      make("img", { src: image, alt: "" }), make("span", { textContent: last && name !== "output" ? `${name}: the output` : name }));
    button.setAttribute("aria-pressed", last);
    button.addEventListener("click", () => {
      for (const other of part("states").children) other.setAttribute("aria-pressed", other === button);
      compareWith(last ? "output" : name, last ? url : image);
    });
    return button;
  }));
}

// --- the comparison

function compareWith(name, url) {
  coverWithMap(false);
  Object.assign(part("after"), { src: url, alt: `The ${name}` });
  part("after-tag").textContent = name;
}

function moveTo(percent) {
  part("slider").value = percent;
  part("slider").setAttribute("aria-valuetext", `${percent} % input`);
  part("compare").style.setProperty("--at", `${percent}%`);
}

// --- what the visitor does

part("choose").addEventListener("click", () => part("file").click());
part("file").addEventListener("change", ({ target }) => {
  if (target.files.length > 0) take(target.files[0].name, target.files[0], part("choose"));
  target.value = "";
});
part("model").addEventListener("change", showChosen);
part("scale").addEventListener("change", showBrush);
part("slider").addEventListener("input", ({ target }) => moveTo(Number(target.value)));
part("cancel").addEventListener("click", () => {
  running?.abort();
  part("waiting").hidden = true;
  part("status").textContent = "Cancelled.";
  part(part("again").disabled ? "choose" : "again").focus();
});
part("retry").addEventListener("click", () => {
  starter = document.body;
  restore();
});
part("brush-fill").addEventListener("click", async ({ target }) => {
  if (marked() === 0) {
    part("brush-status").textContent = "Nothing is marked yet.";
    return;
  }
  picture.mask = await maskFile();
  starter = target;
  await restore();
});
part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  starter = part("again");
  if (!picture?.blob) return;
  picture.mask = null;
  restore();
});
part("form").addEventListener("invalid", () => { part("options").open = true; }, true);
part("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  keepKey(part("key").value.trim());
  part("key").value = "";
  part("problem").hidden = part("key-form").hidden = true;
  await loadService();
  if (part("key-form").hidden) await (picture?.blob ? restore() : storedJob() && resume());
});

addEventListener("dragover", (event) => {
  event.preventDefault();
  part("drop").classList.add("over");
});
addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) part("drop").classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  part("drop").classList.remove("over");
  takeFile(event.dataTransfer.files);
});
addEventListener("paste", (event) => {
  if (event.target.closest?.("input")) return;
  takeFile(event.clipboardData.files);
});

loadService();
loadSamples().catch(showProblem);
if (storedJob()) resume();
