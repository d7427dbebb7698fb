/** Unit quaternions [w, x, y, z]; one turns the object: p ↦ R(q) p. */

export const NONE = [1, 0, 0, 0];

/** First `two`, then `one`. */
export function multiply(one, two) {
  const [a, b, c, d] = one;
  const [w, x, y, z] = two;
  return unit([
    a * w - b * x - c * y - d * z,
    a * x + b * w + c * z - d * y,
    a * y - b * z + c * w + d * x,
    a * z + b * y - c * x + d * w,
  ]);
}

export function invert([w, x, y, z]) {
  return [w, -x, -y, -z];
}

function turnAbout([x, y, z], angle) {
  const sine = Math.sin(angle / 2);
  return [Math.cos(angle / 2), x * sine, y * sine, z * sine];
}

/** Turns by angles about the axes of the screen: y, then x, then z. */
export function turnOnScreen(about, up, roll) {
  const turns = [
    turnAbout([0, 1, 0], about),
    turnAbout([1, 0, 0], up),
    turnAbout([0, 0, 1], roll),
  ];
  return turns.reduce((turn, step) => multiply(step, turn), NONE);
}

/** A share of the shorter way from one to another. */
export function between(one, two, share) {
  const near = dot(one, two) < 0 ? two.map((value) => -value) : two;
  const angle = Math.acos(Math.min(1, dot(one, near)));
  if (angle < 1e-4) return near;
  const before = Math.sin((1 - share) * angle);
  const after = Math.sin(share * angle);
  return unit(one.map((value, k) => before * value + after * near[k]));
}

/** The angle between two, radians. */
export function apart(one, two) {
  return 2 * Math.acos(Math.min(1, Math.abs(dot(one, two))));
}

function dot(one, two) {
  return one.reduce((sum, value, k) => sum + value * two[k], 0);
}

function unit(q) {
  const length = Math.hypot(...q);
  return q.map((value) => value / length);
}
