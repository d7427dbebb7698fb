/** Formats numbers and names for people. */

const UNITS = ["byte", "KiB", "MiB", "GiB"];

/** 1234567 → "1 234 567", with narrow spaces that do not break. */
export function count(number) {
  return String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** A count with its noun: plural(1, "model") → "1 model". */
export function plural(number, noun, nouns = `${noun}s`) {
  return `${count(number)} ${number === 1 ? noun : nouns}`;
}

/** Three or four significant digits: 0.0123, 12.3, 1 234. */
export function measure(number) {
  if (!Number.isFinite(number)) return "?";
  const size = Math.abs(number);
  if (size >= 1000) return count(Math.round(number));
  if (size === 0) return "0";
  return String(Number(number.toPrecision(size >= 100 ? 4 : 3)));
}

/** True size: [30, 20, 8] → "30 × 20 × 8 mm". */
export function extent(sides) {
  if (!sides || sides.some((side) => side === null)) return "size unknown";
  return `${sides.map(measure).join(" × ")} mm`;
}

/** 0.9166 → "92 %". */
export function percent(share) {
  return `${Math.round(share * 100)}\u202f%`;
}

/** 5300000 → "5.05 MiB". */
export function bytes(number) {
  if (number < 1024) return plural(number, "byte");
  const power = Math.min(3, Math.floor(Math.log2(number) / 10));
  return `${measure(number / 1024 ** power)} ${UNITS[power]}`;
}

/** "a/b/part.stl" → ["a/b/", "part.stl"]. */
export function splitName(name) {
  const cut = name.lastIndexOf("/") + 1;
  return [name.slice(0, cut), name.slice(cut)];
}

/** Result of the registration of a match to the query; may be empty. */
export function describeRegistration({ same, mirrored, scale, distance }) {
  if (!same) {
    if (typeof distance !== "number") return "";
    const share = `${(100 * distance).toFixed(1)}\u202f% of the radius`;
    return `Distance ${share}${mirrored ? ", mirrored" : ""}`;
  }
  const parts = [mirrored ? "Mirror image" : "Same shape"];
  if (scale && Math.abs(scale - 1) > 0.01) {
    parts.push(`${measure(scale)} times as large`);
  }
  return parts.join(", ");
}
