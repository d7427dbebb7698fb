"""The renderer and the network of a service, called as a pipeline is.

    with dr3d.Client("https://parts.example") as client:
      images = client.pipeline.render("part.stl")
      vectors = client.pipeline.embed_images(images[None])[0]

So rendering, the network or both run on another machine. They are trained where
`dr3d train` runs: its gradients pass from the network through the images into
the renderer, so both are one program, on all devices of a machine or of several
hosts; see `runtime.host`.
"""

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from typing import IO

import httpx
import numpy as np

from dr3d.client.message import open_file, write_stl
from dr3d.error import ServiceError
from dr3d.mesh import Mesh

MEDIA_TYPE = "application/octet-stream"
"""As in `server.array_body`, which needs Starlette."""

Send = Callable[..., httpx.Response]
"""Method, path and options of a request → the response, or a ServiceError."""
Model = Mesh | str | os.PathLike[str]


class RemotePipeline:
  """Embeds and renders where a service runs; see `retrieval.Pipeline`."""

  def __init__(self, send: Send):
    """Makes it; no request is sent yet.

    Args:
      send: sends a request.
    """
    self._send = send

  @property
  def fingerprint(self) -> str:
    """Of the pipeline; vectors of two different ones are not comparable."""
    return self._send("GET", "/api/info").json()["pipeline"]

  def embed(self, meshes: Sequence[Model]) -> np.ndarray:
    """Maps models to feature vectors.

    Args:
      meshes: B models: files, which are sent as they are, or meshes in
        millimetres.

    Returns:
      float32 `[B, N, D]` unit vectors.

    Raises:
      ValueError: there are no models.
      ServiceError: the service rejects a file, or cannot be reached.
    """
    if not meshes:
      raise ValueError("embed needs at least one model, got none.")
    return np.stack([self._send_model("/api/embed", mesh) for mesh in meshes])

  def embed_images(self, images: np.ndarray) -> np.ndarray:
    """Maps images to feature vectors; see `Pipeline.embed_images`.

    Args:
      images: floats `[B, M, H, W, 4]` in [0, 1].

    Returns:
      float32 `[B, M, D]` unit vectors.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 5 or not len(images):
      raise ValueError(
        f"images must be [B, M, H, W, 4], got {list(images.shape)}."
      )
    return np.stack([self._send_images(some) for some in images])

  def render(self, mesh: Model) -> np.ndarray:
    """Draws a model as the network sees it: float32 `[N, H, W, 4]`."""
    return self._send_model("/api/render", mesh)

  def _send_images(self, images: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    np.save(file, images, allow_pickle=False)
    response = self._send(
      "POST",
      "/api/embed/images",
      content=file.getvalue(),
      headers={"Content-Type": MEDIA_TYPE},
    )
    return _read_array(response)

  def _send_model(self, path: str, mesh: Model) -> np.ndarray:
    with contextlib.ExitStack() as stack:
      parameters = {}
      file: IO[bytes]
      if isinstance(mesh, Mesh):
        name, file = "mesh.stl", io.BytesIO(write_stl(mesh))
        parameters["unit"] = "mm"  # STL states none
      else:
        name, file = stack.enter_context(open_file(mesh))
      response = self._send(
        "POST", path, params=parameters, files=[("file", (name, file))]
      )
    return _read_array(response)


def _read_array(response: httpx.Response) -> np.ndarray:
  try:
    return np.load(io.BytesIO(response.content), allow_pickle=False)
  except (ValueError, EOFError) as error:
    raise ServiceError(
      f"{response.url} answers no array: is it dr3d serve of this version?"
    ) from error
