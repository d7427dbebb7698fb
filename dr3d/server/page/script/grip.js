/** Turning a model by mouse, finger and keys. */

const TURN = 0.011; // radians a pixel
const STEP = Math.PI / 12; // a press of a key
const KEYS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * Lets a person turn what an element shows.
 *
 * @param {HTMLElement} element that takes the focus.
 * @param {Object} hold
 * @param {function(number, number, number)} hold.rotate angles about the
 *   axes of the screen: to the right, down, roll.
 * @param {function(number)} hold.magnify
 * @param {function()} hold.reset
 * @param {function(number)} hold.show goes to a learned view by its number.
 */
export function attach(element, { rotate, magnify, reset, show }) {
  const fingers = new Map();

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button")) return;
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    element.classList.add("held");
  });
  element.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    if (fingers.size === 1) {
      rotate(
        (event.clientX - before.clientX) * TURN,
        (event.clientY - before.clientY) * TURN,
        0,
      );
    } else {
      const other = [...fingers.values()].find(
        (finger) => finger.pointerId !== event.pointerId,
      );
      const [reach, angle] = span(other, event);
      const [reachBefore, angleBefore] = span(other, before);
      if (reachBefore > 0) magnify(reach / reachBefore);
      rotate(0, 0, angleBefore - angle);
    }
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    element.addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      if (!fingers.size) element.classList.remove("held");
    });
  }
  // A wheel that only passes over goes on to scroll the page.
  element.addEventListener(
    "wheel",
    (event) => {
      if (document.activeElement !== element && !event.ctrlKey) return;
      event.preventDefault();
      magnify(Math.exp(-Math.sign(event.deltaY) * 0.12));
    },
    { passive: false },
  );
  element.addEventListener("dblclick", reset);
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const size = event.shiftKey ? 6 * STEP : STEP;
    const turn = KEYS[event.key];
    if (turn) rotate(turn[0] * size, turn[1] * size, 0);
    else if (event.key === "+" || event.key === "=") magnify(1.2);
    else if (event.key === "-") magnify(1 / 1.2);
    else if (event.key === "0" || event.key === "Home") reset();
    else if (/^[1-9]$/.test(event.key)) show(Number(event.key));
    else return;
    event.preventDefault();
  });
}

function span(one, two) {
  const x = two.clientX - one.clientX;
  const y = two.clientY - one.clientY;
  return [Math.hypot(x, y), Math.atan2(y, x)];
}
