/**
 * Dropped files, kept by this browser alone, so that reload and back ask again
 * for what the service has long forgotten.
 */

const NAME = "dr3d";
const STORE = "files";
const MOST = 5; // files
const LARGEST = 200e6; // bytes

const present = new Map(); // of this visit, whatever the browser keeps

/** Keeps a file. @returns {Promise<string>} the key that it is found by. */
export async function keep(file) {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) =>
    byte.toString(36).padStart(2, "0"),
  ).join("");
  present.set(key, file);
  if (file.size <= LARGEST) {
    try {
      await store(key, file);
    } catch {
      // A private window keeps nothing: the file is there until reload.
    }
  }
  return key;
}

/** @returns {Promise<File|null>} null where it is no longer kept. */
export async function find(key) {
  if (present.has(key)) return present.get(key);
  try {
    const files = await open("readonly");
    const found = await settle(files.get(key));
    return found ? new File([found.data], found.name) : null;
  } catch {
    return null;
  }
}

async function store(key, file) {
  const data = await file.arrayBuffer();
  const files = await open("readwrite");
  await settle(files.put({ key, name: file.name, data, time: Date.now() }));
  const all = await settle(files.index("time").getAllKeys());
  for (const old of all.slice(0, -MOST)) files.delete(old);
}

async function open(mode) {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    const files = request.result.createObjectStore(STORE, { keyPath: "key" });
    files.createIndex("time", "time");
  };
  const base = await settle(request);
  return base.transaction(STORE, mode).objectStore(STORE);
}

function settle(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
