/** Numbers and names as a person reads them. */

const UNITS = ["byte", "KiB", "MiB", "GiB"];

/** 1234567 → "1 234 567", with narrow spaces that do not break. */
export function count(number) {
  return String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** A count with its noun: plural(1, "model") → "1 model". */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Three or four digits that matter: 0.01234, 12.3, 1 234. */
export function measure(number) {
  if (!Number.isFinite(number)) return "?";
  const size = Math.abs(number);
  if (size >= 1000) return count(Math.round(number));
  if (size === 0) return "0";
  return String(Number(number.toPrecision(size >= 100 ? 4 : 3)));
}

/** True size: [30, 20, 8] → "30 × 20 × 8 mm". */
export function extent(sides) {
  if (!sides || sides.some((side) => side === null)) return "size not known";
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

/** What laying a match upon the query has shown; empty for nothing. */
export function describeFit({ same, mirrored, scale, distance }) {
  if (!same) {
    if (typeof distance !== "number") return "";
    const apart = `${(100 * distance).toFixed(1)}\u202f% of the radius apart`;
    return mirrored ? `${apart}, mirrored` : apart;
  }
  const words = [mirrored ? "Mirror image" : "Same shape"];
  if (scale && Math.abs(scale - 1) > 0.01) {
    words.push(`${measure(scale)} times as large`);
  }
  return words.join(", ");
}
