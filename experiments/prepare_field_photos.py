r"""Photographs with masks but without cameras → what a field learns from.

    python -m experiments.prepare_field_photos --photos=horses --out=work/horses

The folder holds images/ and masks/ of the same names. The rule for cameras: all
are side views from the same side. A picture whose mask has its highest fifth
right of the middle is mirrored, so that heads are on the left. The square
around the mask is cut out, so scale and place are those of the box. The rest of
each camera, azimuth, elevation and scale, is fitted with the picture's code by
`dr3d field train --learn-cameras`.
"""

import json
import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

PHOTOS = flags.DEFINE_string(
  "photos", None, "Folder of images/ and masks/.", required=True
)
OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
SIZE = flags.DEFINE_integer("size", 64, "Height and width, pixels.")
MARGIN = 1.15  # side of the square in longer sides of the box
ELEVATION = np.radians(5)


def main(_) -> None:
  from dr3d.camera.view import look_from, make_views
  from dr3d.field.camera_file import to_frame

  folder, out = pathlib.Path(PHOTOS.value), pathlib.Path(OUT.value)
  for name in ("images", "masks"):
    (out / name).mkdir(parents=True, exist_ok=True)
  side = np.array([[0, -np.cos(ELEVATION), np.sin(ELEVATION)]])
  frame = to_frame(make_views(look_from(side), colored=False), 0)
  frames, mirrored = [], 0
  for path in sorted((folder / "masks").iterdir()):
    picture = next((folder / "images").glob(f"{path.stem}.*"), None)
    mask = np.asarray(Image.open(path).convert("L")) > 127
    if picture is None or not mask.any():
      print(f"{path} is left out: it has no picture, or is empty.")
      continue
    image = np.asarray(Image.open(picture).convert("RGB"))
    if image.shape[:2] != mask.shape:
      print(f"{path} is left out: its picture has another size.")
      continue
    if faces_right(mask):
      image, mask, mirrored = image[:, ::-1], mask[:, ::-1], mirrored + 1
    names = f"images/{path.stem}.png", f"masks/{path.stem}.png"
    cut(image, mask).save(out / names[0])
    cut(np.uint8(255 * mask), mask).save(out / names[1])
    frames.append(
      {"file_path": names[0], "mask_path": names[1], "object": path.stem}
      | frame
    )
  data = {"frames": frames}
  (out / "transforms.json").write_text(json.dumps(data, indent=1))
  print(f"{out}: {len(frames)} pictures, {mirrored} of them mirrored")


def faces_right(mask):
  """Whether the highest fifth of a mask lies right of the middle of its box."""
  rows, columns = np.nonzero(mask)
  high = rows < rows.min() + 0.2 * np.ptp(rows)
  return columns[high].mean() > (columns.min() + columns.max()) / 2


def cut(pixels, mask):
  """The square around a mask; its edges are repeated beyond the picture."""
  rows, columns = np.nonzero(mask)
  half = MARGIN / 2 * (max(np.ptp(rows), np.ptp(columns)) + 1)
  y, x = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
  pad = int(np.ceil(half))
  wide = [(pad, pad), (pad, pad)] + [(0, 0)] * (pixels.ndim - 2)
  padded = Image.fromarray(
    np.pad(pixels, wide, mode="edge" if pixels.ndim == 3 else "constant")
  )
  box = (x + pad - half, y + pad - half, x + pad + half, y + pad + half)
  return padded.resize(
    (SIZE.value, SIZE.value), Image.Resampling.BILINEAR, box=box
  )


if __name__ == "__main__":
  app.run(main)
