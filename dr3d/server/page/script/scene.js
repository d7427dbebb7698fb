/** One model drawn by WebGL, whenever something has changed and not oftener. */

import * as three from "../three/three.module.min.js";
import { GLTFLoader } from "../three/GLTFLoader.js";

const FIELD = 28; // degrees, of the camera
const MARGIN = 1.06; // of the enclosing sphere
const SURFACE = 0xa9bcd2;

/**
 * Makes a scene.
 *
 * @param {HTMLCanvasElement} canvas
 * @returns {Object} `load(bytes)`, `draw(turn, zoom, size)`, `free()`.
 * @throws {Error} the browser has no WebGL to give.
 */
export function createScene(canvas) {
  const renderer = new three.WebGLRenderer({
    canvas,
    antialias: true,
    alpha: true,
  });
  const scene = new three.Scene();
  const camera = new three.PerspectiveCamera(FIELD, 1, 0.1, 50);
  camera.position.z = MARGIN / Math.sin((FIELD * Math.PI) / 360);
  scene.add(new three.HemisphereLight(0xffffff, 0x4a5a70, 1.3));
  for (const [x, y, z, power] of [
    [2, 4, 4, 2.4],
    [-5, 0, 2, 0.9],
    [1, -5, 3, 0.5],
  ]) {
    const light = new three.DirectionalLight(0xffffff, power);
    light.position.set(x, y, z);
    scene.add(light);
  }
  const turned = new three.Group();
  scene.add(turned);

  return {
    /** Takes the model of a GLB; returns its radius, in the GLB's unit. */
    async load(bytes) {
      const { scene: loaded } = await new GLTFLoader().parseAsync(bytes, "");
      const model = dress(loaded);
      const reach = measureReach(model);
      model.scale.setScalar(1 / reach);
      discard(turned);
      turned.add(model);
      return reach;
    },
    /** Draws; size is the share of the enclosing sphere that it fills. */
    draw([w, x, y, z], zoom, size) {
      fit(renderer, camera, canvas);
      turned.quaternion.set(x, y, z, w);
      turned.scale.setScalar(size);
      camera.zoom = zoom;
      camera.updateProjectionMatrix();
      renderer.render(scene, camera);
    },
    free() {
      discard(turned);
      renderer.dispose();
      renderer.forceContextLoss();
    },
  };
}

/** Gives the bodies of a GLB one material, and takes their places in. */
function dress(loaded) {
  const model = new three.Group();
  loaded.updateMatrixWorld(true);
  loaded.traverse((part) => {
    if (!part.isMesh) return;
    const geometry = part.geometry.clone().applyMatrix4(part.matrixWorld);
    const surface = new three.MeshStandardMaterial({
      color: SURFACE,
      roughness: 0.62,
      metalness: 0.08,
      side: three.DoubleSide, // scans have no inside
      flatShading: !geometry.attributes.normal,
    });
    model.add(new three.Mesh(geometry, surface));
  });
  return model;
}

/** The farthest corner from the origin, which the service puts amidst. */
function measureReach(model) {
  let reach = 0;
  const point = new three.Vector3();
  for (const { geometry } of model.children) {
    const corners = geometry.attributes.position;
    for (let k = 0; k < corners.count; k++) {
      reach = Math.max(reach, point.fromBufferAttribute(corners, k).length());
    }
  }
  return reach || 1;
}

function fit(renderer, camera, canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  renderer.setPixelRatio(Math.min(2, window.devicePixelRatio || 1));
  const size = renderer.getSize(new three.Vector2());
  if (size.x !== width || size.y !== height) {
    renderer.setSize(width, height, false);
  }
  camera.aspect = width / height;
  // The sphere fits the shorter side.
  const half = Math.tan((FIELD * Math.PI) / 360) / Math.min(1, camera.aspect);
  camera.fov = (Math.atan(half) * 360) / Math.PI;
}

function discard(group) {
  group.traverse((part) => {
    part.geometry?.dispose();
    part.material?.dispose();
  });
  group.clear();
}
