/** Requests to the service; URLs are relative, so any path prefix works. */

const MAX_TRIES = 5; // while the service is busy
const MAX_WAIT = 15; // seconds between two tries

/** A request that failed. */
export class ServiceError extends Error {
  /**
   * @param {string} message one sentence that says what to do.
   * @param {number} status of HTTP; 0 if there was no response.
   * @param {number} wait seconds after which a retry may succeed.
   */
  constructor(message, status = 0, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }

  /** Whether a retry may succeed. */
  get isTemporary() {
    return this.status === 429 || this.status === 503;
  }
}

export const urls = {
  thumbnail: (name) => `${modelUrl(name)}/thumbnail.png`,
  view: (name, number) => `${modelUrl(name)}/views/${number}.png`,
  glb: (name) => `${modelUrl(name)}/model.glb`,
  file: (name) => `${modelUrl(name)}/file`,
};

export const getInfo = () => get("api/info");
export const getModel = (name) => get(modelUrl(name));
export const getFailures = () => get("api/failures");
export const getDuplicates = () => get("api/duplicates");

/** @throws {ServiceError} the service could not start. */
export async function checkStart() {
  const { status, error } = await (await send("api/ready")).json();
  if (status === "failed") {
    throw new ServiceError(`The service could not start: ${error}`);
  }
}

/** One page of the catalogue. @param {Object} conditions by name. */
export function listModels(conditions, signal) {
  return get(`api/models${queryString(conditions)}`, signal);
}

/** Models similar to a model of the database. */
export function findSimilar(name, conditions, signal) {
  return get(`${modelUrl(name)}/similar${queryString(conditions)}`, signal);
}

/** A GLB or another file as an ArrayBuffer. */
export async function fetchBytes(url) {
  if (url.startsWith("data:")) return decodeDataUri(url);
  const response = await send(url);
  if (!response.ok) throw await readError(response);
  return response.arrayBuffer();
}

/**
 * Searches with a file.
 *
 * @param {File} file
 * @param {Object} conditions parameters of the query.
 * @param {Object} options
 * @param {AbortSignal} options.signal
 * @param {function(number)} options.progress called with the share that was uploaded.
 * @param {function(number)} options.waiting called with the seconds until the
 *   next try when the service is busy.
 */
export function query(file, conditions, { signal, progress, waiting }) {
  const url = `api/query${queryString({ ...conditions, evidence: true })}`;
  return retry(() => upload(url, file, signal, progress), signal, waiting);
}

/** The query string of a URL; lists repeat a name, empty values are left out. */
function queryString(conditions = {}) {
  const pairs = Object.entries(conditions)
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
    .filter(([, one]) => one !== "" && one !== null && one !== undefined);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

function modelUrl(name) {
  // Encodes slashes too: a browser would resolve the dots of "../part.stl".
  return `api/models/${encodeURIComponent(name)}`;
}

function get(url, signal) {
  return retry(async () => {
    const response = await send(url, { signal });
    if (!response.ok) throw await readError(response);
    return response.json();
  }, signal);
}

async function send(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : noResponse();
  }
}

// XMLHttpRequest, because fetch does not report the progress of an upload.
function upload(url, file, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    signal?.addEventListener("abort", stop);
    request.open("POST", url);
    request.upload.onprogress = (event) =>
      progress?.(event.lengthComputable ? event.loaded / event.total : 0);
    request.upload.onload = () => progress?.(1);
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onerror = () => reject(noResponse());
    request.onload = () => {
      const body = parseJson(request.responseText);
      if (request.status === 200 && body) return resolve(body);
      const after = request.getResponseHeader("Retry-After");
      reject(toError(request.status, body, after));
    };
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

/** Repeats a call while the service is busy. */
async function retry(call, signal, waiting) {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (!error.isTemporary || tries >= MAX_TRIES) throw error;
      const seconds = Math.min(error.wait || tries, MAX_WAIT);
      waiting?.(seconds);
      await wait(seconds, signal);
    }
  }
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}

async function readError(response) {
  const body = parseJson(await response.text());
  return toError(response.status, body, response.headers.get("Retry-After"));
}

function toError(status, body, after) {
  const message =
    body?.detail ??
    `The service answered ${status}: try again; if that does not help, see ` +
      "the log of the service.";
  return new ServiceError(message, status, Number(after) || 0);
}

function noResponse() {
  return new ServiceError(
    "The service does not respond: check that dr3d serve is running and that " +
      "this computer can reach it, then try again.",
  );
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function decodeDataUri(url) {
  const text = atob(url.slice(url.indexOf(",") + 1));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
}
