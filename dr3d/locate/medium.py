"""Media on the disk: which files there are, and what is written of each.

OUT/NAME.jpg         the picture with all instances lit
OUT/NAME.heat.jpg    its heat map
OUT/NAME.mp4         of a video, every frame with its instances lit
OUT/NAME.heat.mp4    the heat maps of its frames
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from dr3d.error import PictureError
from dr3d.image.photograph import is_photograph, read_photograph
from dr3d.image.video import is_video, read_frames, read_info, write_mp4
from dr3d.locate.highlight import draw_boxes, draw_heat, highlight
from dr3d.locate.instance import Instance
from dr3d.locate.locator import Locator, PreparedQuery
from dr3d.runtime.atomic import atomic_file

MEDIUM_SIDE = 4096  # pixels of a picture that is searched, at most
JPEG_QUALITY = 92


@dataclasses.dataclass(frozen=True)
class Found:
  """What was found in a picture or in a frame.

  Attributes:
    medium: the file.
    frame: number of the frame from 0; None for a picture.
    size: height and width of the picture that was searched, pixels.
    instances: what was found.
  """

  medium: str
  frame: int | None
  size: tuple[int, int]
  instances: tuple[Instance, ...]


def find_media(paths: Sequence[str | os.PathLike[str]]) -> list[pathlib.Path]:
  """Lists pictures and videos; of a folder those in it, also in subfolders.

  Raises:
    PictureError: a path is missing or of no known kind, or a folder has no
      picture and no video.
  """
  media: list[pathlib.Path] = []
  for path in map(pathlib.Path, paths):
    if path.is_dir():
      inside = [file for file in sorted(path.rglob("*")) if is_medium(file)]
      if not inside:
        raise PictureError(f"{path} holds no picture and no video.")
      media += inside
    elif not path.exists():
      raise PictureError(f"{path} does not exist.")
    elif is_medium(path):
      media.append(path)
    else:
      raise PictureError(
        f"{path} is neither a picture (JPEG, PNG, WebP, HEIC) nor a video."
      )
  return media


def is_medium(path: pathlib.Path) -> bool:
  """Whether the name of a file ends as that of a picture or a video."""
  return is_photograph(path) or is_video(path)


def name_outputs(media: Sequence[pathlib.Path]) -> list[str]:
  """A name for the outputs of each file; equal stems get a number."""
  names: list[str] = []
  for path in media:
    name, number = path.stem, 2
    while name in names:
      name, number = f"{path.stem}-{number}", number + 1
    names.append(name)
  return names


def locate_file(
  locator: Locator,
  query: PreparedQuery,
  path: pathlib.Path,
  out: pathlib.Path,
  name: str,
  *,
  threshold: float | None = None,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Found]:
  """Searches a file and writes its pictures; yields what each frame shows.

  Args:
    locator: the locator.
    query: from `Locator.prepare`.
    path: a picture or a video.
    out: folder for the pictures; it exists.
    name: of the outputs, without extension.
    threshold: see `Locator.find`.
    progress: called with the frames done and all of a video.

  Raises:
    PictureError: the file cannot be read.
  """
  if not is_video(path):
    medium = read_photograph(path, max_side=MEDIUM_SIDE)[..., :3]
    found, lit, heat = _search(locator, query, medium, threshold)
    _save(lit, out / f"{name}.jpg")
    _save(heat, out / f"{name}.heat.jpg")
    yield Found(str(path), None, medium.shape[:2], found)
    return
  info = read_info(path)
  with contextlib.ExitStack() as stack:
    add_lit, add_heat = (
      stack.enter_context(write_mp4(out / f"{name}{end}", rate=info.rate))
      for end in (".mp4", ".heat.mp4")
    )
    for number, frame in enumerate(read_frames(path)):
      found, lit, heat = _search(locator, query, frame, threshold)
      add_lit(lit)
      add_heat(heat)
      progress(number + 1, max(info.count, number + 1))
      yield Found(str(path), number, frame.shape[:2], found)


def to_plain(found: Found) -> dict[str, object]:
  """What JSON can hold of a result."""
  return {
    "medium": found.medium,
    "frame": found.frame,
    "height": found.size[0],
    "width": found.size[1],
    "instances": [
      {
        "box": list(each.box),
        "score": round(each.score, 4),
        "area": int(each.mask.sum()),
        "view": each.view,
      }
      for each in found.instances
    ],
  }


def _search(
  locator: Locator,
  query: PreparedQuery,
  medium: np.ndarray,
  threshold: float | None,
) -> tuple[tuple[Instance, ...], np.ndarray, np.ndarray]:
  medium = np.ascontiguousarray(medium)
  found, heat = locator.search(query, medium, threshold=threshold)
  lit = draw_boxes(highlight(medium, found), found)
  return tuple(found), lit, draw_heat(medium, heat)


def _save(pixels: np.ndarray, path: pathlib.Path) -> None:
  with atomic_file(path) as partial:
    Image.fromarray(pixels).save(partial, "JPEG", quality=JPEG_QUALITY)
