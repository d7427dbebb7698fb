/**
 * The state of the page in the URL, `#/page/name?key=value`, so that reload,
 * back and a copied URL show the same.
 */

/**
 * @typedef {Object} Route
 * @property {string} page "search", "query", "like", "models", …
 * @property {string} name of a model or of a dropped file; may be empty.
 * @property {URLSearchParams} parameters
 */

/** Reads a hash. @returns {Route} */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [page, ...rest] = path.split("/");
  let name = rest.join("/");
  try {
    name = decodeURIComponent(name);
  } catch {
    // A stray per cent sign stays as it is.
  }
  return {
    page: page || "search",
    name,
    parameters: new URLSearchParams(search),
  };
}

/** Writes a hash; parameters that are empty are left out. */
export function format(page, name = "", parameters = {}) {
  const pairs = [...entries(parameters)].filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  const search = new URLSearchParams(pairs).toString();
  const path = page === "search" ? "" : page;
  return (
    `#/${path}${name ? `/${encodeURIComponent(name)}` : ""}` +
    (search ? `?${search}` : "")
  );
}

/** The hash of a route with some of its parameters changed. */
export function withParameters(route, changes) {
  const parameters = new URLSearchParams(route.parameters);
  for (const [name, value] of Object.entries(changes)) {
    parameters.delete(name);
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") {
        parameters.append(name, one);
      }
    }
  }
  return format(route.page, route.name, parameters);
}

/** Goes to a hash. */
export function navigate(hash) {
  location.hash = hash;
}

/** Goes to a hash without a new entry in the history. */
export function replace(hash) {
  history.replaceState(null, "", hash);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

function entries(parameters) {
  return parameters instanceof URLSearchParams
    ? parameters.entries()
    : Object.entries(parameters).flatMap(([name, value]) =>
        [value].flat().map((one) => [name, one]),
      );
}
