"""Frames of a video file, and frames to an MP4 file, through FFmpeg (PyAV).

`H W` pixels.
"""

import contextlib
import dataclasses
import fractions
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dr3d.error import PictureError
from dr3d.runtime.atomic import atomic_file

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm")
"""Extensions of video files that are recognised, lower case."""

MAX_PIXELS = 40_000_000  # of a frame: 8K has 33 million
MAX_RATE = 240.0  # frames a second


@dataclasses.dataclass(frozen=True)
class VideoInfo:
  """What a video file says of itself.

  Attributes:
    rate: frames a second.
    count: frames, 0 if the file does not say.
    size: height and width, pixels, before any rotation.
  """

  rate: float
  count: int
  size: tuple[int, int]


def is_video(path: str | os.PathLike[str]) -> bool:
  """Whether the name of a file ends as that of a video."""
  return pathlib.Path(path).suffix.lower() in SUFFIXES


def read_info(path: str | os.PathLike[str]) -> VideoInfo:
  """Reads the head of a video file.

  Raises:
    PictureError: the file is missing, holds no video, or frames are too large.
  """
  with _open(path) as (_, stream):
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    return VideoInfo(
      min(rate, MAX_RATE), stream.frames, (stream.height, stream.width)
    )


def read_frames(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
  """Yields the frames of a video file, uint8 `[H, W, 3]`.

  Frames that are decoded before a damaged place are yielded first.

  Raises:
    PictureError: the file is missing, damaged, or holds no video.
  """
  import av

  with _open(path) as (video, stream):
    try:
      for frame in video.decode(stream):
        yield _upright(frame)
    except av.FFmpegError as error:
      raise PictureError(
        f"{os.fspath(path)} is damaged ({error.strerror}): convert or copy it"
        " again."
      ) from error


@contextlib.contextmanager
def write_mp4(
  path: str | os.PathLike[str], *, rate: float
) -> Iterator[Callable[[np.ndarray], None]]:
  """Writes a video (H.264) frame by frame; it appears complete or not at all.

  The format has even heights and widths only: an odd last row or column is
  repeated once.

  Args:
    path: of the file.
    rate: frames a second.

  Yields:
    A function that adds a frame, uint8 `[H, W, 3]`, all of one size.

  Raises:
    ImportError: PyAV is not installed.
    ValueError: the rate is out of range.
  """
  av = import_av()
  if not 0 < rate <= MAX_RATE:
    raise ValueError(f"rate must be in (0, {MAX_RATE}], got {rate}.")
  with (
    atomic_file(pathlib.Path(path)) as partial,
    av.open(str(partial), "w", format="mp4") as video,
  ):
    exact = fractions.Fraction(rate).limit_denominator(65535)
    stream = video.add_stream("libx264", rate=exact)
    stream.pix_fmt = "yuv420p"  # what browsers and phones play

    def add(frame: np.ndarray) -> None:
      height, width = frame.shape[:2]
      even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
      if not stream.codec_context.is_open:
        stream.height, stream.width = even.shape[:2]
      picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), "rgb24")
      video.mux(stream.encode(picture))

    yield add
    video.mux(stream.encode())


def import_av() -> Any:
  """Returns the module av.

  Raises:
    ImportError: PyAV is not installed.
  """
  try:
    import av
  except ImportError as error:
    raise ImportError(
      "a video needs an extra of dr3d: pip install 'dr3d[video]'."
    ) from error
  return av


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[tuple[Any, Any]]:
  """Opens a video file and its first stream of pictures."""
  name = os.fspath(path)
  if not pathlib.Path(path).is_file():
    raise PictureError(f"{name} does not exist.")
  try:
    av = import_av()
  except ImportError as error:
    raise PictureError(f"{name}: {error}") from error
  try:
    video = av.open(name)
  except (av.FFmpegError, ValueError) as error:
    raise PictureError(f"{name} is not a video that can be read.") from error
  with video:
    if not video.streams.video:
      raise PictureError(f"{name} holds no pictures.")
    stream = video.streams.video[0]
    stream.thread_type = "AUTO"
    if stream.height * stream.width > MAX_PIXELS:
      raise PictureError(
        f"{name} has frames of {stream.width} x {stream.height} pixels, but at"
        f" most {MAX_PIXELS // 1_000_000} million are read: reduce it first."
      )
    yield video, stream


def _upright(frame: Any) -> np.ndarray:
  """A frame as it was held; phones note a rotation beside the pixels."""
  pixels = frame.to_ndarray(format="rgb24")
  turns = round(getattr(frame, "rotation", 0) / 90) % 4
  return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
