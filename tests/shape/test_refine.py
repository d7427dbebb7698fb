import numpy as np
from support.shapes import make_boxes, make_model

from dr3d.shape.refine import RefineConfig
from dr3d.shape.voxel import grid_points


def test_refined_codes_draw_their_shapes_better():
  model = make_model()
  boxes = make_boxes()
  # A box that neither of the two is, and each box by the other one's code.
  middle = np.abs(grid_points(64)).reshape(64, 64, 64, 3)
  box = (middle < np.float32([0.6, 0.5, 0.5])).all(-1)
  voxels = np.stack([box, *boxes])
  codes = np.stack([*model.encode_voxels(voxels[:1]), *model.codes[::-1]])
  refined = model.refine_voxels(codes, voxels)

  def measure(each):
    drawn = np.stack([model.decode_voxels(c, resolution=64) for c in each])
    both, either = drawn & voxels, drawn | voxels
    return both.sum((1, 2, 3)) / either.sum((1, 2, 3))

  before, after = measure(codes), measure(refined)
  assert (after > before).all()
  assert (after[1:] > 0.8).all()  # shapes that the decoder knows
  assert ((refined > 0) & (refined < 1)).all()
  # A shape moves as it would alone.
  (alone,) = model.refine_voxels(codes[:1], voxels[:1])
  np.testing.assert_allclose(alone, refined[0], atol=0.02)
  none = RefineConfig(steps=0)
  np.testing.assert_array_equal(
    model.refine_voxels(codes, voxels, config=none), codes
  )
