"""The interface of a database, in this process or behind a service."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from dr3d.database.condition import Condition
from dr3d.database.duplicate import Group
from dr3d.database.ingest import Report
from dr3d.database.model import Model
from dr3d.database.model_search import Filter
from dr3d.image.cutout import Photo
from dr3d.image.mask import Box
from dr3d.mesh import Mesh
from dr3d.mesh.unit import Unit
from dr3d.registration.relation import VERIFIED_COUNT, Relation
from dr3d.search.answer import Answer


class ModelDatabase(Protocol):
  """What `Database` and `Client` have in common.

  Every call raises a Dr3dError whose sentence says what is wrong.
  """

  def query(
    self,
    model: Mesh | str | os.PathLike[str] | None = None,
    /,
    *,
    photo: Photo | Sequence[Photo] | None = None,
    region: Box | None = None,
    k: int = 10,
    condition: Condition | None = None,
    min_score: float = -1.0,
    verify: int = VERIFIED_COUNT,
    unit: Unit | None = None,
  ) -> Answer:
    """Answers which models a mesh, or a thing in photographs, looks like.

    Args:
      model: a mesh file, or a Mesh whose unit is the millimetre; None if a
        photograph asks.
      photo: a photograph of one thing, or several of the same.
      region: x, y, width and height of a box around it, pixels.
      k: matches wanted, at least 1.
      condition: which models are searched; None for all.
      min_score: of a match.
      verify: how many of the first matches are registered to the query.
      unit: assumed for a file that states none; None for the database's.

    Returns:
      The predicted label and at most k models, best first.
    """

  def query_similar(
    self,
    name: str,
    *,
    k: int = 10,
    condition: Condition | None = None,
    min_score: float = -1.0,
    verify: int = VERIFIED_COUNT,
  ) -> Answer:
    """Answers which other models a model of the database looks like."""

  def models(self) -> list[Model]:
    """All models by name, without their vectors and images."""

  def find_models(
    self, text: str = "", condition: Filter | None = None
  ) -> list[Model]:
    """Finds models by words of their name, label and metadata.

    Args:
      text: words in any order; see `text_search`.
      condition: what else the models must have.
    """

  def count_states(self) -> dict[str, int]:
    """How many models are in each of `model.STATES`."""

  def inspect(self) -> dict[str, Any]:
    """What the database holds, ready for JSON; see `Database.inspect`."""

  def read_file(self, name: str) -> bytes:
    """The file of a model, as it was indexed."""

  def find_duplicates(
    self,
    *,
    weakest: Relation = "similar",
    progress: Callable[[int, int], None] | None = None,
  ) -> list[Group]:
    """Finds indexed models that are one shape; nothing is changed.

    Args:
      weakest: relation that is still reported.
      progress: called with the models compared and all models.
    """

  def add(
    self,
    paths: Sequence[str | os.PathLike[str]],
    *,
    label: str | None = None,
    metadata: Mapping[str, str] | None = None,
    unit: Unit | None = None,
  ) -> Report:
    """Adds model files.

    A `Database` names a file by its path and reads it where it is. A `Client`
    cannot know what a path means to the service: it names a file by its last
    part, and the service keeps a copy.
    """

  def store(
    self,
    path: str | os.PathLike[str],
    *,
    name: str,
    label: str = "",
    metadata: Mapping[str, str] | None = None,
    unit: Unit | None = None,
  ) -> Report:
    """Adds a model whose file the database copies.

    A file that cannot be indexed is reported and leaves nothing behind. The
    same file under the same name counts as unchanged; another file under the
    name of a model is an error.
    """

  def label(self, name: str, label: str) -> None:
    """Gives a model another label."""

  def edit(
    self,
    name: str,
    *,
    label: str | None = None,
    metadata: Mapping[str, str] | None = None,
  ) -> None:
    """Changes label and metadata of a model; None keeps them."""

  def show_columns(self, keys: Sequence[str]) -> None:
    """Chooses which metadata is shown with a model, in this order."""

  def remove(self, names: Collection[str]) -> None:
    """Removes models; none is removed if a name is unknown."""
