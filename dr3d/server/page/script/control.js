/**
 * Rotation by mouse, touch and keys.
 *
 * Not the controls of three.js: those move one camera, while here several
 * viewers share a pose, one may rotate by itself, and images replace the model
 * if there is no WebGL.
 */

const RADIANS_PER_PIXEL = 0.011;
const KEY_STEP = Math.PI / 12; // radians; times 6 with the shift key
const WHEEL_STEP = 0.12; // logarithm of the zoom factor
const KEY_ZOOM = 1.2;
const KEYS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * Lets the user rotate what an element shows.
 *
 * @param {HTMLElement} element that gets the focus.
 * @param {Object} actions
 * @param {function(number, number, number)} actions.rotate angles about the
 *   axes of the screen: to the right, down, roll.
 * @param {function(number)} actions.zoomBy
 * @param {function()} actions.reset
 * @param {function(number)} actions.show shows a learned view by its number.
 */
export function attach(element, { rotate, zoomBy, reset, show }) {
  const pointers = new Map(); // that are down, with their last event

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button")) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    element.classList.add("dragging");
  });
  element.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    if (pointers.size === 1) {
      rotate(
        (event.clientX - before.clientX) * RADIANS_PER_PIXEL,
        (event.clientY - before.clientY) * RADIANS_PER_PIXEL,
        0,
      );
    } else {
      const other = [...pointers.values()].find(
        (pointer) => pointer.pointerId !== event.pointerId,
      );
      const [length, angle] = toPolar(other, event);
      const [lengthBefore, angleBefore] = toPolar(other, before);
      if (lengthBefore > 0) zoomBy(length / lengthBefore);
      rotate(0, 0, angleBefore - angle);
    }
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    element.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) element.classList.remove("dragging");
    });
  }
  // Without focus the wheel keeps scrolling the page.
  element.addEventListener(
    "wheel",
    (event) => {
      if (document.activeElement !== element && !event.ctrlKey) return;
      event.preventDefault();
      zoomBy(Math.exp(-Math.sign(event.deltaY) * WHEEL_STEP));
    },
    { passive: false },
  );
  element.addEventListener("dblclick", reset);
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const size = event.shiftKey ? 6 * KEY_STEP : KEY_STEP;
    const direction = KEYS[event.key];
    if (direction) rotate(direction[0] * size, direction[1] * size, 0);
    else if (event.key === "+" || event.key === "=") zoomBy(KEY_ZOOM);
    else if (event.key === "-") zoomBy(1 / KEY_ZOOM);
    else if (event.key === "0" || event.key === "Home") reset();
    else if (/^[1-9]$/.test(event.key)) show(Number(event.key));
    else return;
    event.preventDefault();
  });
}

/** Length and angle of the vector between two pointers. */
function toPolar(one, two) {
  const x = two.clientX - one.clientX;
  const y = two.clientY - one.clientY;
  return [Math.hypot(x, y), Math.atan2(y, x)];
}
