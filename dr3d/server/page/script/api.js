/** Requests to the service; URLs are relative, so any path prefix works. */

import { askToken, authorization, forgetToken, readToken } from "./token.js";

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
  picture: (name) => `${modelUrl(name)}/picture.png`,
  thumbnail: (name) => `${modelUrl(name)}/thumbnail.png`,
  view: (name, number) => `${modelUrl(name)}/views/${number}.png`,
  photoView: (name, number) => `${modelUrl(name)}/photo-views/${number}.png`,
  glb: (name) => `${modelUrl(name)}/model.glb`,
  file: (name) => `${modelUrl(name)}/file`,
};

export const getInfo = () => get("api/info");
export const getModel = (name) => get(modelUrl(name));
export const getFailures = () => get("api/failures");
export const getMap = () => get("api/map");
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

/** A shape between two models as a GLB. @param {number} share of the other. */
export function fetchBlend(name, other, share, signal) {
  const url = `${modelUrl(name)}/blend.glb${queryString({ other, share })}`;
  return retry(() => fetchBytes(url), signal);
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
  const call = () => uploadWithToken(url, file, signal, progress);
  return retry(call, signal, waiting);
}

/** Where a model is in a picture: `instances`, `highlight`, `heat`. */
export function locate(file, model, { signal }) {
  const url = `api/locate${queryString({ model })}`;
  return retry(() => uploadWithToken(url, file, signal), signal);
}

/**
 * Searches with photographs of one thing.
 *
 * @param {File[]} files
 * @param {string} region "x,y,width,height" of a box, or empty.
 * @param {Object} options of `query`.
 */
export function queryPhotos(files, region, { signal, progress, waiting }) {
  const url = `api/query${queryString({ region, evidence: true })}`;
  const call = () => uploadWithToken(url, files, signal, progress);
  return retry(call, signal, waiting);
}

/** Adds a model. @param {Object} given label, and `set`, a list of key=value. */
export function addModel(file, given, { signal, progress } = {}) {
  const url = `api/models${queryString({ name: file.name, ...given })}`;
  return retry(() => uploadWithToken(url, file, signal, progress), signal);
}

/** Changes label and metadata of a model. */
export const editModel = (name, changes) =>
  change("PATCH", modelUrl(name), changes);

/** Removes a model from the database. */
export const removeModel = (name) => change("DELETE", modelUrl(name));

/** Chooses the metadata that is shown with each model. */
export const showColumns = (columns) =>
  change("PUT", "api/columns", { columns });

/** How far a file lies from a model at each point, as arrays. */
export async function overlayFile(file, model, unit, signal) {
  const url = `api/overlay${queryString({ model, unit })}`;
  const call = () => uploadWithToken(url, file, signal);
  return readOverlay(await retry(call, signal));
}

/** How far a model lies from another one, likewise. */
export async function overlayModel(query, model, signal) {
  const url = `api/overlay${queryString({ query, model })}`;
  return readOverlay(await get(url, signal));
}

function readOverlay({ vertices, faces, distances, ...facts }) {
  const read = (text) => decodeBase64(text);
  return {
    ...facts,
    vertices: new Float32Array(read(vertices)),
    faces: new Uint32Array(read(faces)),
    distances: new Float32Array(read(distances)),
  };
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

/** Sends a request; asks for a token if the service wants one. */
async function send(url, options = {}) {
  for (;;) {
    let response;
    try {
      const headers = { ...options.headers, ...authorization() };
      response = await fetch(url, { ...options, headers });
    } catch (error) {
      throw error.name === "AbortError" ? error : noResponse();
    }
    if (response.status !== 401) return response;
    const wasRejected = Boolean(readToken());
    if (wasRejected) forgetToken();
    const byHand = Boolean(options.method);
    if (await askToken(wantToken(byHand), { byHand })) continue;
    // Without a token more may be allowed than with a wrong one.
    if (byHand || !wasRejected) return response;
  }
}

function wantToken(isChange) {
  return isChange
    ? "Changes need a token that may write."
    : "This service wants a token for searching.";
}

/** Sends a change; a 401 asks for a token, by hand. */
async function change(method, url, body) {
  const response = await send(url, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body ? JSON.stringify(body) : undefined,
  });
  if (!response.ok) throw await readError(response);
}

// XMLHttpRequest, because fetch does not report the progress of an upload.
function upload(url, file, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    signal?.addEventListener("abort", stop);
    request.open("POST", url);
    for (const [name, value] of Object.entries(authorization())) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) =>
      progress?.(event.lengthComputable ? event.loaded / event.total : 0);
    request.upload.onload = () => progress?.(1);
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onerror = () => reject(noResponse());
    request.onload = () => {
      const body = parseJson(request.responseText);
      if ([200, 201].includes(request.status) && body) return resolve(body);
      const after = request.getResponseHeader("Retry-After");
      reject(toError(request.status, body, after));
    };
    const form = new FormData();
    for (const one of [file].flat()) form.append("file", one, one.name);
    request.send(form);
  });
}

/** As `upload`; asks for a token if the service wants one. */
async function uploadWithToken(url, file, signal, progress) {
  for (;;) {
    try {
      return await upload(url, file, signal, progress);
    } catch (error) {
      const byHand = url.startsWith("api/models");
      if (error.status !== 401) throw error;
      if (!(await askToken(wantToken(byHand), { byHand }))) throw error;
    }
  }
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
  return decodeBase64(url.slice(url.indexOf(",") + 1));
}

function decodeBase64(encoded) {
  const text = atob(encoded);
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
}
