/** Pictures that take long are sent as jobs. A job outlives the page: after a reload it is followed again. */

import { Problem, ask, bodyOf, read } from "./api.js";

const STORED = "drdd-job"; // until the tab is closed
const PREVIEW = 1600; // pixels of the longer side of the small copy of the input
const PATIENCE = 60000; // ms without an answer
const AGAIN = 2000; // ms

/** The job of this tab: { id, name, begun, preview, shown }, or null. */
export const storedJob = () => JSON.parse(sessionStorage.getItem(STORED));

function store(job) {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(job));
  } catch { // the small copy is too large for what browsers keep
    sessionStorage.setItem(STORED, JSON.stringify({ ...job, preview: null }));
  }
}

/** Its result was seen: when it has expired, a reload says nothing of it. */
export const markShown = () => store({ ...storedJob(), shown: true });

/** Forget the job of this tab, and have the service forget it. */
export function forgetJob() {
  const job = storedJob();
  sessionStorage.removeItem(STORED);
  if (job) ask(`v1/jobs/${job.id}`, { method: "DELETE" }).catch(() => {}); // it may be gone already
}

/** As sendPicture of api.js. tell: called with each state of the job, as of GET /v1/jobs/ID. */
export async function sendJob(picture, options, signal, tell) {
  forgetJob();
  const begun = Date.now();
  const response = await ask(`v1/jobs?${new URLSearchParams(options)}`, { method: "POST", signal, ...bodyOf(picture) });
  const id = response.headers.get("Location").split("/").pop(); // the body of a request that is aborted cannot be read
  store({ id, name: picture.name, begun, preview: await smallCopy(picture.url), shown: false });
  return followJob(signal, tell);
}

/** The answer of the stored job, once it is there. A signal that aborts cancels the job. */
export async function followJob(signal, tell) {
  const { id, begun } = storedJob();
  const forget = () => { if (storedJob()?.id === id) forgetJob(); };
  signal.addEventListener("abort", forget);
  if (signal.aborted) forget(); // while it was sent
  let job = await patiently(`v1/jobs/${id}`, signal);
  while (["waiting", "running"].includes(job.status)) {
    tell(job);
    job = await patiently(`v1/jobs/${id}?wait=20`, signal);
  }
  const answer = await read(await ask(`v1/jobs/${id}/result`, { signal }));
  return { ...answer, total: (Date.now() - begun) / 1000 };
}

/** JSON from a service that may be restarting. */
async function patiently(path, signal) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      signal.throwIfAborted();
      return await (await ask(path, { signal })).json();
    } catch (problem) {
      if (!(problem instanceof Problem) || ![0, 503].includes(problem.status) || Date.now() > end) throw problem;
      await new Promise((done) => setTimeout(done, AGAIN));
    }
  }
}

/** A data URI of the picture, small enough to be kept by the tab; null if it cannot be shown. */
async function smallCopy(url) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    return null;
  }
  const scale = Math.min(1, PREVIEW / Math.max(image.naturalWidth, image.naturalHeight));
  const paper = Object.assign(document.createElement("canvas"), {
    width: Math.max(1, Math.round(image.naturalWidth * scale)), height: Math.max(1, Math.round(image.naturalHeight * scale)) });
  paper.getContext("2d").drawImage(image, 0, 0, paper.width, paper.height);
  return paper.toDataURL("image/webp", 0.9);
}
