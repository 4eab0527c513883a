/** Asking the service: every failure is a Problem that can be shown as it is. */

const KEY = "drdd-api-key";

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);

/** What went wrong, in words. `origin`: the status and the request's id, for whoever looks into the log. */
export class Problem extends Error {
  constructor(title, detail, origin = "", status = 0) {
    super(title);
    Object.assign(this, { detail, origin, status });
  }
}

export async function ask(path, init = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...init.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service does not answer.", "See whether it runs, then try again.");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** From application/problem+json; what stands between may answer with anything else. */
async function problemOf(response) {
  const told = await response.json().catch(() => ({}));
  const { status } = response;
  const title = status === 503 ? "The service is busy:" : status < 500 ? "The service refuses:" : "The service failed:";
  const origin = [`${status} ${told.title ?? response.statusText}`, told.instance && `request ${told.instance}`];
  return new Problem(title, told.detail ?? "It does not say why.", origin.filter(Boolean).join(", "), status);
}

/** The body of a request, and its headers: the file as such, or a form with its mask. picture: { blob, mask }. */
export function bodyOf({ blob, mask }) {
  if (!mask) return { body: blob, headers: { "Content-Type": blob.type || "application/octet-stream" } };
  const body = new FormData();
  body.append("image", blob, "image");
  body.append("mask", mask, "mask.png");
  return { body, headers: {} };
}

/**
 * Restore a picture, { blob, mask }: { blob, notes, states, uncertainty, model, seconds, waited, total }, times in seconds.
 *
 * options: of the query, all but the format. Without states=true or answer=json no states, no uncertainty and
 * no `waited` come back.
 */
export async function sendPicture(picture, options, signal) {
  const begin = performance.now();
  const response = await ask(`v1/restore?${new URLSearchParams({ ...options, format: "png" })}`, {
    method: "POST", signal, ...bodyOf(picture) });
  const answer = await read(response);
  return { ...answer, total: (performance.now() - begin) / 1000 };
}

/** JSON with the states, or the output alone as an image file -> one shape. */
export async function read(response) {
  if (response.headers.get("Content-Type").startsWith("application/json")) {
    const { output: uri, ...answer } = await response.json();
    return { ...answer, blob: blobOf(uri) };
  }
  const header = (name) => response.headers.get(name);
  return { blob: await response.blob(), states: [], notes: header("X-Notes")?.split("; ") ?? [], seconds: Number(header("X-Seconds")),
    model: { alias: header("X-Model-Alias"), version: header("X-Model-Version") } };
}

/** A link to a data URI of many megabytes downloads in no browser reliably; one to a blob does. */
export function blobOf(uri) {
  const [head, content] = uri.split(",");
  return new Blob([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))],
    { type: head.slice("data:".length).split(";")[0] });
}
