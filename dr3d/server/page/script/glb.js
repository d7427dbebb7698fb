/** Reads the GLB files that the service writes: one mesh, one primitive. */

const HEADER = 12; // bytes: magic, version, length
const CHUNK_HEADER = 8; // bytes: length, type
// Component types of glTF 2.0, section 3.6.2.2, that the service writes.
const ARRAYS = { 5125: Uint32Array, 5126: Float32Array };
const WIDTHS = { SCALAR: 1, VEC3: 3 };

/**
 * Reads the arrays of a GLB.
 *
 * @param {ArrayBuffer} buffer
 * @returns {Object} `positions` and `normals`, 3 V floats, and `indices`, 3 F
 *   integers.
 * @throws {Error} the file is not a GLB of this service.
 */
export function parseGlb(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0, true) !== 0x46546c67) throw new Error("not a GLB");
  const length = view.getUint32(HEADER, true);
  const text = new Uint8Array(buffer, HEADER + CHUNK_HEADER, length);
  const tree = JSON.parse(new TextDecoder().decode(text));
  const start = HEADER + CHUNK_HEADER + length + CHUNK_HEADER;
  const read = (number) => {
    const {
      bufferView,
      byteOffset = 0,
      componentType,
      count,
      type,
    } = tree.accessors[number];
    const offset = start + (tree.bufferViews[bufferView].byteOffset ?? 0);
    const size = count * WIDTHS[type];
    return new ARRAYS[componentType](buffer, offset + byteOffset, size);
  };
  const { attributes, indices } = tree.meshes[0].primitives[0];
  return {
    positions: read(attributes.POSITION),
    normals: read(attributes.NORMAL),
    indices: read(indices),
  };
}
