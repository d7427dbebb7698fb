/** A small cross of axes in the corner of a viewer. */

import * as three from "../three/three.module.min.js";

const SIZE = 72; // pixels of the square in which it is drawn
const AXES = [
  ["X", [1, 0, 0], "#d8453c"],
  ["Y", [0, 1, 0], "#2a9a5c"],
  ["Z", [0, 0, 1], "#3f86e0"],
];

/**
 * Makes the cross.
 *
 * @returns {Object} `draw(renderer, quaternion)`, over what is drawn; `free()`.
 */
export function createAxes() {
  const scene = new three.Scene();
  const camera = new three.OrthographicCamera(-1.5, 1.5, 1.5, -1.5, 0.1, 10);
  camera.position.z = 5;
  const cross = new three.Group();
  const owned = [];
  for (const [name, direction, color] of AXES) {
    const end = new three.Vector3(...direction);
    const geometry = new three.CylinderGeometry(0.06, 0.06, 1);
    geometry.translate(0, 0.5, 0);
    const material = new three.MeshBasicMaterial({ color });
    const stick = new three.Mesh(geometry, material);
    stick.quaternion.setFromUnitVectors(new three.Vector3(0, 1, 0), end);
    const texture = new three.CanvasTexture(drawLetter(name, color));
    const ink = new three.SpriteMaterial({ map: texture });
    const letter = new three.Sprite(ink);
    letter.position.copy(end).multiplyScalar(1.28);
    letter.scale.setScalar(0.55);
    cross.add(stick, letter);
    owned.push(geometry, material, texture, ink);
  }
  scene.add(cross);
  return {
    draw(renderer, quaternion) {
      cross.quaternion.copy(quaternion);
      const whole = renderer.getViewport(new three.Vector4());
      renderer.setViewport(4, 4, SIZE, SIZE);
      renderer.clearDepth();
      renderer.render(scene, camera);
      renderer.setViewport(whole);
    },
    free: () => owned.forEach((one) => one.dispose()),
  };
}

function drawLetter(name, color) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const pen = canvas.getContext("2d");
  pen.fillStyle = color;
  pen.font = "bold 52px sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(name, 32, 34);
  return canvas;
}
