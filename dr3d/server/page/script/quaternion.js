/** Unit quaternions [w, x, y, z], which rotate an object: p ↦ R(q) p. */

export const IDENTITY = [1, 0, 0, 0];

/** The rotation `two`, followed by `one`. */
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

function rotateAbout([x, y, z], angle) {
  const sine = Math.sin(angle / 2);
  return [Math.cos(angle / 2), x * sine, y * sine, z * sine];
}

/** Rotates by angles about the axes of the screen: y, then x, then z. */
export function rotateOnScreen(about, up, roll) {
  const steps = [
    rotateAbout([0, 1, 0], about),
    rotateAbout([1, 0, 0], up),
    rotateAbout([0, 0, 1], roll),
  ];
  return steps.reduce((sum, step) => multiply(step, sum), IDENTITY);
}

/** Interpolates on the shorter arc (Shoemake 1985). */
export function slerp(one, two, share) {
  const end = dot(one, two) < 0 ? two.map((value) => -value) : two;
  const angle = Math.acos(Math.min(1, dot(one, end)));
  if (angle < 1e-4) return end;
  const before = Math.sin((1 - share) * angle);
  const after = Math.sin(share * angle);
  return unit(one.map((value, k) => before * value + after * end[k]));
}

/** The angle slerp two, radians. */
export function angleBetween(one, two) {
  return 2 * Math.acos(Math.min(1, Math.abs(dot(one, two))));
}

function dot(one, two) {
  return one.reduce((sum, value, k) => sum + value * two[k], 0);
}

function unit(q) {
  const length = Math.hypot(...q);
  return q.map((value) => value / length);
}
