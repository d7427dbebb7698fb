"""A database whose models photographs can find."""

import functools
import threading

from dr3d.database.listing import DatabaseListing
from dr3d.database.photo_search import Progress, make_photo_gallery
from dr3d.database.snapshot import Snapshot
from dr3d.search.gallery import Gallery


class PhotoReader(DatabaseListing):
  """Adds the gallery for photographs to a listing."""

  _photo_gallery: tuple[Snapshot, Gallery] | None = None

  @functools.cached_property
  def _photo_lock(self) -> threading.Lock:
    return threading.Lock()

  def prepare_photos(self, *, progress: Progress | None = None) -> Gallery:
    """Makes the models findable by photographs; see `photo_search`.

    The first photograph does the same, and takes half a second longer for each
    model. What was made is stored in the database.

    Args:
      progress: called with the models done, and all.

    Returns:
      The gallery that photographs are compared with.

    Raises:
      EmptyError: no model is indexed.
    """
    with self._photo_lock:
      snapshot = self.snapshot
      if self._photo_gallery is None or self._photo_gallery[0] is not snapshot:
        from dr3d.retrieval.photo.encoder import load_encoder

        gallery = make_photo_gallery(
          self.directory,
          [snapshot.models[name] for name in snapshot.gallery.names],
          self.load_shapes,
          load_encoder(),
          progress=progress,
        )
        self._photo_gallery = snapshot, gallery
      return self._photo_gallery[1]
