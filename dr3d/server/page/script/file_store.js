/**
 * Dropped files, stored in this browser only, so that reload and back can query
 * again: the service does not keep them.
 */

const NAME = "dr3d";
const STORE = "files";
export const MAX_FILES = 40; // that an answer can have
const MAX_BYTES = 200e6; // of a file; IndexedDB keeps it in memory

const current = new Map(); // of this visit, if the browser stores nothing

/** Stores a file. @returns {Promise<string>} its key. */
export async function storeFile(file) {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) =>
    byte.toString(36).padStart(2, "0"),
  ).join("");
  current.set(key, file);
  if (file.size <= MAX_BYTES) {
    try {
      await store(key, file);
    } catch {
      // A private window stores nothing: reload loses the file.
    }
  }
  return key;
}

/** @returns {Promise<File|null>} null if it is no longer stored. */
export async function findFile(key) {
  if (current.has(key)) return current.get(key);
  try {
    const files = await open("readonly");
    const found = await toPromise(files.get(key));
    return found ? new File([found.data], found.name) : null;
  } catch {
    return null;
  }
}

async function store(key, file) {
  const data = await file.arrayBuffer();
  const files = await open("readwrite");
  await toPromise(files.put({ key, name: file.name, data, time: Date.now() }));
  const all = await toPromise(files.index("time").getAllKeys());
  for (const old of all.slice(0, -MAX_FILES)) files.delete(old);
}

async function open(mode) {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    const files = request.result.createObjectStore(STORE, { keyPath: "key" });
    files.createIndex("time", "time");
  };
  const base = await toPromise(request);
  return base.transaction(STORE, mode).objectStore(STORE);
}

function toPromise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
