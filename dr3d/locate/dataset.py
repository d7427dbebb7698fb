"""Data expansion on the disk: a library of cut-outs, and scenes made of them.

    DIR/cutouts.csv         model, category, source, plain, file
    DIR/cutouts/M/0.png     red, green, blue, alpha
    DIR/scenes.jsonl        one `SceneRecord` a line
    DIR/scenes/0.jpg        a picture
    DIR/scenes/0.png        its mask: 0, or the number of the target's instance

What is added later stands beside what was there: the originals stay [0070].

References:
  US 2018/0260664 [0062-0071].
"""

import csv
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from dr3d.error import TrainingError
from dr3d.image import composite
from dr3d.locate.scene import Box, Scene, compose_scene

ABSENT_SHARE = 0.15  # of the scenes do not show the target
SEVERAL_SHARE = 0.25  # of the others show two or three instances
SAME_CLASS_SHARE = 0.4  # of the clutter is of the target's category
CLUTTER_COUNTS = (1, 6)
JPEG_QUALITY = 95

_COLUMNS = ("model", "category", "source", "plain", "file")


@dataclasses.dataclass(frozen=True)
class CutoutRecord:
  """A cut-out on the disk.

  Attributes:
    model: what it shows.
    category: of the model; goes beside every mask [0070].
    source: `"render"`, `"photograph"` or `"extracted"` (by a network).
    plain: whether it is grey, as a model without colours.
    file: below the folder.
  """

  model: str
  category: str
  source: str
  plain: bool
  file: str


@dataclasses.dataclass(frozen=True)
class SceneRecord:
  """A scene on the disk: the target and what is known of it.

  Attributes:
    name: of its two files.
    model: the target.
    category: of the target, the coarse label [0071].
    used: files of the cut-outs that show the target; empty if it is absent.
    boxes: x, y, width, height of each visible instance.
    sides: longer side of each before occlusion, pixels.
    occlusions: hidden share of each.
    distortions: of the whole picture.
    clutter: number of other things.
  """

  name: str
  model: str
  category: str
  used: tuple[str, ...]
  boxes: tuple[Box, ...]
  sides: tuple[int, ...]
  occlusions: tuple[float, ...]
  distortions: tuple[str, ...]
  clutter: int


class ExpandedSet:
  """A folder of cut-outs and scenes; new ones are appended."""

  def __init__(self, directory: pathlib.Path):
    self.directory = directory
    (directory / "scenes").mkdir(parents=True, exist_ok=True)

  @functools.cached_property
  def cutouts(self) -> list[CutoutRecord]:
    """All cut-outs, in the order in which they were added."""
    path = self.directory / "cutouts.csv"
    if not path.exists():
      return []
    with path.open(newline="", encoding="utf-8") as stream:
      return [
        CutoutRecord(
          row["model"],
          row["category"],
          row["source"],
          row["plain"] == "1",
          row["file"],
        )
        for row in csv.DictReader(stream)
      ]

  @functools.cached_property
  def scenes(self) -> list[SceneRecord]:
    """All scenes, in the order in which they were added."""
    path = self.directory / "scenes.jsonl"
    if not path.exists():
      return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_to_record(json.loads(line)) for line in lines]

  @functools.cached_property
  def by_model(self) -> dict[str, list[CutoutRecord]]:
    """The cut-outs of each model."""
    models: dict[str, list[CutoutRecord]] = {}
    for record in self.cutouts:
      models.setdefault(record.model, []).append(record)
    return models

  def read_cutout(self, file: str) -> np.ndarray:
    """Returns a cut-out, float32 `[h, w, 4]`, multiplied by alpha."""
    with Image.open(self.directory / file) as image:
      return composite.to_cutout(np.asarray(image.convert("RGBA")))

  def read_scene(self, record: SceneRecord) -> tuple[np.ndarray, np.ndarray]:
    """Returns a picture uint8 `[H, W, 3]` and its mask uint8 `[H, W]`."""
    base = self.directory / "scenes" / record.name
    with Image.open(base.with_suffix(".jpg")) as image:
      pixels = np.asarray(image.convert("RGB"))
    with Image.open(base.with_suffix(".png")) as mask:
      return pixels, np.asarray(mask)

  def add_cutouts(
    self,
    cutouts: Sequence[np.ndarray],
    *,
    model: str,
    category: str,
    source: str = "render",
    plain: bool = False,
  ) -> None:
    """Adds views of one model.

    Args:
      cutouts: float32 `[h, w, 4]` each, multiplied by alpha. Fully transparent
        ones are left out.
      model: name, which is also a folder's.
      category: of the model.
      source: see `CutoutRecord`.
      plain: see `CutoutRecord`.
    """
    known = self.cutouts  # read before the table grows
    folder = self.directory / "cutouts" / model
    folder.mkdir(parents=True, exist_ok=True)
    begin = len(list(folder.glob("*.png")))
    records: list[CutoutRecord] = []
    for cutout in cutouts:
      if not (cutout[..., 3] > 0.5).any():
        continue
      file = f"cutouts/{model}/{begin + len(records)}.png"
      pixels = composite.to_pixels(composite.trim(cutout))
      Image.fromarray(pixels).save(self.directory / file, compress_level=1)
      records.append(CutoutRecord(model, category, source, plain, file))
    path = self.directory / "cutouts.csv"
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
      writer = csv.writer(stream)
      if is_new:
        writer.writerow(_COLUMNS)
      for record in records:
        values = dataclasses.asdict(record)
        writer.writerow([*list(values.values())[:3], int(plain), record.file])
    known.extend(records)
    self.__dict__.pop("by_model", None)

  def add_scene(
    self, scene: Scene, *, model: str, used: Sequence[str], clutter: int
  ) -> SceneRecord:
    """Adds a scene; returns its record."""
    name = str(len(self.scenes))
    base = self.directory / "scenes" / name
    Image.fromarray(scene.image).save(
      base.with_suffix(".jpg"), quality=JPEG_QUALITY
    )
    Image.fromarray(scene.mask).save(base.with_suffix(".png"))
    record = SceneRecord(
      name,
      model,
      self.by_model[model][0].category,
      tuple(used) if scene.boxes else (),
      scene.boxes,
      scene.sides,
      scene.occlusions,
      scene.distortions,
      clutter,
    )
    path = self.directory / "scenes.jsonl"
    with path.open("a", encoding="utf-8") as stream:
      stream.write(json.dumps(dataclasses.asdict(record)) + "\n")
    self.scenes.append(record)
    return record


def expand(
  data: ExpandedSet,
  *,
  count: int,
  size: tuple[int, int],
  seed: int,
  distorted: bool = True,
  models: Sequence[str] | None = None,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
  """Composes scenes from the library until there are `count`.

  Resumes where an earlier call ended; scene i depends on the seed and i only.

  Args:
    data: has cut-outs of at least two models.
    count: scenes in all.
    size: height and width of a scene, pixels.
    seed: of the scenes.
    distorted: whether to distort cut-outs and pictures.
    models: targets; None for all.
    progress: called with the scenes made and the total.

  Raises:
    TrainingError: the library has less than two models.
  """
  names = sorted(data.by_model if models is None else models)
  if len(names) < 2:
    raise TrainingError(
      f"{data.directory} holds cut-outs of {len(names)} models; scenes need at"
      " least two."
    )
  for i in range(len(data.scenes), count):
    rng = np.random.default_rng([seed, i])
    model = names[rng.integers(len(names))]
    absent = rng.random() < ABSENT_SHARE
    several = rng.random() < SEVERAL_SHARE
    instances = 0 if absent else 1 + int(several) * int(rng.integers(1, 3))
    used = _choose(rng, data.by_model[model], instances)
    clutter = _draw_clutter(rng, data, model)
    scene = compose_scene(
      rng,
      [data.read_cutout(record.file) for record in used],
      [data.read_cutout(record.file) for record in clutter],
      size=size,
      distorted=distorted,
    )
    data.add_scene(
      scene,
      model=model,
      used=[record.file for record in used],
      clutter=len(clutter),
    )
    progress(i + 1, count)


def list_queries(data: ExpandedSet, scene: SceneRecord) -> list[CutoutRecord]:
  """Cut-outs that may ask for a scene's target: other views than it shows.

  If the model has no other view, as a photograph has not, those that it shows.
  """
  views = data.by_model[scene.model]
  others = [view for view in views if view.file not in scene.used]
  return others or views


def _choose(
  rng: np.random.Generator, records: list[CutoutRecord], count: int
) -> list[CutoutRecord]:
  painted = [record for record in records if not record.plain] or records
  return [painted[rng.integers(len(painted))] for _ in range(count)]


def _draw_clutter(
  rng: np.random.Generator, data: ExpandedSet, model: str
) -> list[CutoutRecord]:
  """Cut-outs of other models, some of the same category [0063]."""
  category = data.by_model[model][0].category
  names = [name for name in data.by_model if name != model]
  same = [n for n in names if data.by_model[n][0].category == category]
  chosen = []
  for _ in range(int(rng.integers(CLUTTER_COUNTS[0], CLUTTER_COUNTS[1] + 1))):
    pool = same if same and rng.random() < SAME_CLASS_SHARE else names
    name = pool[rng.integers(len(pool))]
    chosen += _choose(rng, data.by_model[name], 1)
  return chosen


def _to_record(values: dict) -> SceneRecord:
  values["boxes"] = tuple(tuple(box) for box in values["boxes"])
  for key in ("used", "sides", "occlusions", "distortions"):
    values[key] = tuple(values[key])
  return SceneRecord(**values)
