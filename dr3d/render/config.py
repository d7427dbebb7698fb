"""How triangles are drawn: the options, their values and their checks."""

import dataclasses
from typing import Any, Literal, get_args

from dr3d.camera.projection import Camera, check_camera

Framing = Literal["sphere", "object"]
Coverage = Literal["face", "mesh"]
Shading = Literal["smooth", "flat"]
Pose = Literal["file", "principal"]
Layer = Literal["depth", "normal", "share"]

LAYER_CHANNELS: dict[Layer, int] = {"depth": 1, "normal": 3, "share": 1}
"""Channels of each layer that can be drawn after the colour and alpha."""


@dataclasses.dataclass(frozen=True)
class RenderConfig:
  """How triangles are drawn.

  Attributes:
    size: height and width of an image, pixels.
    sigma: softness of edges, pixels.
    gamma: softness of occlusion, in inverse depth that is 0 at the far and 1 at
      the near end of the unit sphere.
    framing: `"sphere"` keeps the camera on the centre of the unit sphere;
      `"object"` moves and zooms each image so that the object fills it as the
      sphere would. A thin rod seen from its end is a dot with the first and
      shows its cross-section with the second.
    coverage: `"face"` softens every edge of every face; `"mesh"` softens only
      silhouettes and open boundaries, so that the image does not depend on how
      a surface is cut into faces. See `dr3d.render.raster.rasterize`.
    camera: `"perspective"` or `"orthographic"`; an orthographic image shows as
      much as a perspective one does at the depth of the origin.
    shading: `"smooth"` shades with the normals of the triangles, `"flat"` with
      the normals of their planes.
    shadows: whether objects cast shadows on themselves and on others of their
      scene; see `render.shadow`. It takes time in proportion to pixels, faces
      and lights.
  """

  size: int = 64
  sigma: float = 0.7
  gamma: float = 3e-3
  framing: Framing = "object"
  coverage: Coverage = "face"
  camera: Camera = "perspective"
  shading: Shading = "smooth"
  shadows: bool = False


def check_config(config: RenderConfig, layers: tuple[Layer, ...] = ()) -> None:
  """Raises a ValueError if an option or a layer is unknown."""
  check_option("framing", config.framing, Framing)
  check_option("coverage", config.coverage, Coverage)
  check_camera(config.camera)
  check_option("shading", config.shading, Shading)
  unknown = [layer for layer in layers if layer not in LAYER_CHANNELS]
  if unknown:
    raise ValueError(f"layers are {tuple(LAYER_CHANNELS)}, not {unknown}.")


def check_option(name: str, value: str, options: Any) -> None:
  """Raises a ValueError if a value is not one of a `Literal` type.

  Args:
    name: of the argument, for the message.
    value: of the argument.
    options: the `Literal` type.
  """
  allowed = get_args(options)
  if value not in allowed:
    raise ValueError(f"{name} must be one of {allowed}, got {value!r}.")
