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

/** "hex_socket_screw" → "hex socket screw". */
export function toWords(label) {
  return label.replaceAll("_", " ").trim();
}

/** "part number" → "Part number". */
export function toTitle(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "a/b/part.stl" → "part". */
export function toStem(name) {
  const file = splitName(name)[1];
  return file.replace(/(.)\.[^.]+$/, "$1");
}

/** A probability in words: 0.97 → "in about 97 of 100 cases". */
export function likelihood(share) {
  if (share >= 0.995) return "in more than 99 of 100 cases";
  if (share >= 0.9) return `in about ${Math.round(share * 100)} of 100 cases`;
  if (share >= 0.1) return `in about ${Math.round(share * 10)} of 10 cases`;
  return "in less than 1 of 10 cases";
}

/** 2 → "2 times as large", 1.13 → "13 % larger", 0.5 → "2 times smaller". */
export function describeScale(scale) {
  if (scale >= 2) return `${measure(scale)} times as large`;
  if (scale <= 0.5) return `${measure(1 / scale)} times smaller`;
  const word = scale > 1 ? "larger" : "smaller";
  return `${percent(Math.abs(scale - 1))} ${word}`;
}

// Relative differences of sizes that are not worth a word, for one shape and for
// two that differ, whose sizes noise and missing parts change.
const SAME_SIZE = 0.02;
export const SIMILAR_SIZE = 0.1;

/** What comparing the surfaces of a match has shown; may be empty. */
export function describeRegistration(match) {
  const { same, mirrored, scale, distance, radius } = match;
  const sized = scale && Math.abs(scale - 1) > SAME_SIZE;
  if (same) {
    const shape = mirrored ? "Mirror image" : "Same shape";
    if (sized) return `${shape}, ${describeScale(scale)}`;
    return mirrored || !scale ? shape : "Same shape and size";
  }
  const parts = [];
  if (typeof distance === "number") {
    parts.push(
      radius
        ? `Surface differs by ${measure(distance * radius)} mm on average`
        : `Surface differs by ${(100 * distance).toFixed(1)}\u202f%`,
    );
  }
  if (scale && Math.abs(scale - 1) > SIMILAR_SIZE) {
    parts.push(describeScale(scale));
  }
  if (mirrored) parts.push("mirrored");
  return toTitle(parts.join(", "));
}
