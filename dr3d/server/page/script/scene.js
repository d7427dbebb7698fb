/** Draws a model, or two laid on one another, when something has changed. */

import * as three from "../three/three.module.min.js";

import { createAxes } from "./axes.js";
import { colorAt } from "./color_map.js";
import { parseGlb } from "./glb.js";

const FIELD_OF_VIEW = 28; // degrees
const MARGIN = 1.06; // distance of the camera over that of a tight fit
const SURFACE = 0xa9bcd2;
const HULL_OPACITY = 0.25;
const MILLIMETRES_PER_METRE = 1000; // a GLB is in metres
// Position and intensity: main light, fill light, light from below.
const LIGHTS = [
  [2, 4, 4, 2.4],
  [-5, 0, 2, 0.9],
  [1, -5, 3, 0.5],
];

/**
 * Makes a scene.
 *
 * @param {HTMLCanvasElement} canvas
 * @returns {Object} `load(bytes, overlay, top)`, `draw(rotation, zoom, size)`,
 *   `free()`.
 * @throws {Error} the browser gives no WebGL context.
 */
export function createScene(canvas) {
  const renderer = new three.WebGLRenderer({
    canvas,
    antialias: true,
    alpha: true,
  });
  const scene = new three.Scene();
  const camera = new three.PerspectiveCamera(FIELD_OF_VIEW, 1, 0.1, 50);
  camera.position.z = MARGIN / Math.sin((FIELD_OF_VIEW * Math.PI) / 360);
  scene.add(new three.HemisphereLight(0xffffff, 0x4a5a70, 1.3));
  for (const [x, y, z, intensity] of LIGHTS) {
    const light = new three.DirectionalLight(0xffffff, intensity);
    light.position.set(x, y, z);
    scene.add(light);
  }
  const rotated = new three.Group();
  scene.add(rotated);
  renderer.autoClear = false;
  const axes = createAxes();

  return {
    /**
     * Shows the model of a GLB; returns its radius in metres.
     *
     * With an overlay of `api.overlayFile` the model is a pale hull, and the
     * query on it is coloured by its deviation, from none to `top` mm.
     */
    load(bytes, overlay, top) {
      const model = createMesh(parseGlb(bytes), Boolean(overlay));
      const { radius } = model.geometry.boundingSphere;
      model.scale.setScalar(1 / radius);
      discard(rotated);
      rotated.add(model);
      if (overlay) {
        const query = createOverlay(overlay, top);
        query.scale.setScalar(1 / (radius * MILLIMETRES_PER_METRE));
        rotated.add(query);
      }
      return radius;
    },
    /**
     * Draws; size is the share of the enclosing sphere that it fills. Returns
     * the pixels of the sphere's radius.
     */
    draw([w, x, y, z], zoom, size) {
      resize(renderer, camera, canvas);
      rotated.quaternion.set(x, y, z, w);
      rotated.scale.setScalar(size);
      camera.zoom = zoom;
      camera.updateProjectionMatrix();
      renderer.clear();
      renderer.render(scene, camera);
      axes.draw(renderer, rotated.quaternion);
      const half = Math.tan((camera.fov * Math.PI) / 360) * camera.position.z;
      return ((canvas.clientHeight / 2) * zoom * size) / half;
    },
    free() {
      discard(rotated);
      axes.free();
      renderer.dispose();
      renderer.forceContextLoss();
    },
  };
}

/** The query, in millimetres, coloured at each vertex. */
function createOverlay({ vertices, faces, distances }, top) {
  const geometry = new three.BufferGeometry();
  geometry.setAttribute("position", new three.BufferAttribute(vertices, 3));
  geometry.setIndex(new three.BufferAttribute(faces, 1));
  const colors = new Float32Array(vertices.length);
  const color = new three.Color();
  distances.forEach((distance, k) => {
    color.set(colorAt(distance / top)).toArray(colors, 3 * k);
  });
  geometry.setAttribute("color", new three.BufferAttribute(colors, 3));
  const material = new three.MeshStandardMaterial({
    vertexColors: true,
    flatShading: true,
    roughness: 0.9,
    side: three.DoubleSide,
  });
  return new three.Mesh(geometry, material);
}

function createMesh({ positions, normals, indices }, isHull) {
  const geometry = new three.BufferGeometry();
  geometry.setAttribute("position", new three.BufferAttribute(positions, 3));
  geometry.setAttribute("normal", new three.BufferAttribute(normals, 3));
  geometry.setIndex(new three.BufferAttribute(indices, 1));
  // The service centres the enclosing sphere; three.js would centre the box.
  const radius = measureRadius(positions);
  geometry.boundingSphere = new three.Sphere(new three.Vector3(), radius);
  const material = new three.MeshStandardMaterial({
    color: SURFACE,
    roughness: 0.62,
    metalness: 0.08,
    side: three.DoubleSide, // scans have no inside
    transparent: isHull,
    opacity: isHull ? HULL_OPACITY : 1,
    depthWrite: !isHull,
  });
  const mesh = new three.Mesh(geometry, material);
  mesh.renderOrder = isHull ? 1 : 0; // a hull is drawn over what is inside
  return mesh;
}

/** Distance of the farthest vertex from the origin. */
function measureRadius(positions) {
  let squared = 0;
  for (let k = 0; k < positions.length; k += 3) {
    const [x, y, z] = positions.subarray(k, k + 3);
    squared = Math.max(squared, x * x + y * y + z * z);
  }
  return Math.sqrt(squared) || 1;
}

function resize(renderer, camera, canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  renderer.setPixelRatio(Math.min(2, window.devicePixelRatio || 1));
  const size = renderer.getSize(new three.Vector2());
  if (size.x !== width || size.y !== height) {
    renderer.setSize(width, height, false);
  }
  camera.aspect = width / height;
  // The sphere must fit the shorter side.
  const half =
    Math.tan((FIELD_OF_VIEW * Math.PI) / 360) / Math.min(1, camera.aspect);
  camera.fov = (Math.atan(half) * 360) / Math.PI;
}

function discard(group) {
  group.traverse((part) => {
    part.geometry?.dispose();
    part.material?.dispose();
  });
  group.clear();
}
