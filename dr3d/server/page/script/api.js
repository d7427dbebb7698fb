/** The calls of the service; addresses are relative, whatever serves them. */

const PATIENCE = 5; // tries while the service is busy
const LONGEST = 15; // seconds that one wait may take

/** What the service answered in place of what it was asked for. */
export class ServiceError extends Error {
  /**
   * @param {string} message one sentence that says what to do.
   * @param {number} status of HTTP; 0 where no answer came.
   * @param {number} wait seconds after which it may be asked again.
   */
  constructor(message, status = 0, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }

  /** Whether the same request may be answered later. */
  get passes() {
    return this.status === 429 || this.status === 503;
  }
}

export const address = {
  thumbnail: (name) => `${model(name)}/thumbnail.png`,
  view: (name, number) => `${model(name)}/views/${number}.png`,
  glb: (name) => `${model(name)}/model.glb`,
  file: (name) => `${model(name)}/file`,
};

export const getInfo = () => ask("api/info");
export const getModel = (name) => ask(model(name));
export const getFailures = () => ask("api/failures");
export const getDuplicates = () => ask("api/duplicates");

/** Tells why the service cannot start, if so. @throws {ServiceError} */
export async function checkStart() {
  const { status, error } = await (await send("api/ready")).json();
  if (status === "failed") {
    throw new ServiceError(`The service could not start: ${error}`);
  }
}

/** One page of the catalogue. @param {Object} conditions by name. */
export function listModels(conditions, signal) {
  return ask(`api/models${search(conditions)}`, signal);
}

/** Models that look like a known one. */
export function findSimilar(name, conditions, signal) {
  return ask(`${model(name)}/similar${search(conditions)}`, signal);
}

/** A GLB or another file as an ArrayBuffer. */
export async function fetchBytes(url) {
  if (url.startsWith("data:")) return decode(url);
  const response = await send(url);
  if (!response.ok) throw await refusal(response);
  return response.arrayBuffer();
}

/**
 * Asks what a file is.
 *
 * @param {File} file
 * @param {Object} conditions parameters of the query.
 * @param {Object} options
 * @param {AbortSignal} options.signal
 * @param {function(number)} options.progress called with the share uploaded.
 * @param {function(number)} options.waiting called with the seconds until the
 *   next try when the service is busy.
 */
export function query(file, conditions, { signal, progress, waiting }) {
  const url = `api/query${search({ ...conditions, evidence: true })}`;
  return insist(() => upload(url, file, signal, progress), signal, waiting);
}

/** Parameters of an address; lists repeat a name, empty ones are left out. */
function search(conditions = {}) {
  const pairs = Object.entries(conditions)
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
    .filter(([, one]) => one !== "" && one !== null && one !== undefined);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

function model(name) {
  // Slashes too: a browser would resolve the dots of "../part.stl".
  return `api/models/${encodeURIComponent(name)}`;
}

function ask(url, signal) {
  return insist(async () => {
    const response = await send(url, { signal });
    if (!response.ok) throw await refusal(response);
    return response.json();
  }, signal);
}

async function send(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : silence();
  }
}

// Of what fetch cannot do: tell how much of a body has been sent.
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
    request.onerror = () => reject(silence());
    request.onload = () => {
      const body = read(request.responseText);
      if (request.status === 200 && body) return resolve(body);
      const after = request.getResponseHeader("Retry-After");
      reject(complain(request.status, body, after));
    };
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

/** Calls again while the service says that it is busy. */
async function insist(call, signal, waiting) {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (!error.passes || tries >= PATIENCE) throw error;
      const seconds = Math.min(error.wait || tries, LONGEST);
      waiting?.(seconds);
      await pause(seconds, signal);
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}

async function refusal(response) {
  const body = read(await response.text());
  return complain(response.status, body, response.headers.get("Retry-After"));
}

function complain(status, body, after) {
  const message =
    body?.error ??
    `The service answered ${status}: try again, and if it stays so, look at ` +
      "what the service has printed.";
  return new ServiceError(message, status, Number(after) || 0);
}

function silence() {
  return new ServiceError(
    "The service does not answer: check that dr3d serve is running and that " +
      "this computer reaches it, then try again.",
  );
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function decode(url) {
  const text = atob(url.slice(url.indexOf(",") + 1));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
}
