/** Colours of a deviation: viridis, which is also read without red or green. */

// S. van der Walt and N. Smith, matplotlib 1.5, at five places.
const STOPS = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"].map(
  (text) => [1, 3, 5].map((k) => Number.parseInt(text.slice(k, k + 2), 16)),
);

/** The colour of a share from 0 to 1, as "rgb(…)". */
export function colorAt(share) {
  const place = Math.min(1, Math.max(0, share)) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  const mixed = STOPS[low].map((value, k) =>
    Math.round(value + (place - low) * (STOPS[low + 1][k] - value)),
  );
  return `rgb(${mixed.join(", ")})`;
}

/** The least of 1, 2, 5, 10, … that is not below a number. */
export function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10]
    .map((one) => one * power)
    .find((one) => one >= number * 0.999);
}
