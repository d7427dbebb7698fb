"""The truth that `experiments.make_field_set` wrote, as pictures of a field."""

import numpy as np


def make_set(truth, objects):
  """The seen pictures of chairs, with exact cameras."""
  from dr3d.camera.view import make_views
  from dr3d.field.picture import PictureSet

  images = truth["images"][objects, 0].astype(np.float32)
  return PictureSet(
    images=images,
    masks=truth["masks"][objects, 0].astype(np.float32),
    seen=np.ones(images.shape[:3], bool),
    views=make_views(truth["quaternions"][objects, 0], colored=False),
    rows=np.arange(len(objects)),
    names=tuple(map(str, objects)),
  )
