"""What asks a database: vectors, and what else is known of the thing."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from dr3d.index.vector_index import check_vectors
from dr3d.mesh.unit import ASSUMED, GIVEN
from dr3d.search.similarity import TURNS, SimilarityName

if TYPE_CHECKING:
  from dr3d.mesh import Mesh
  from dr3d.render.renderer import Renderer
  from dr3d.retrieval.pipeline import Pipeline


@dataclasses.dataclass(frozen=True, eq=False)
class Query:
  """A thing to be found, whatever it was seen as.

  A mesh is rendered at the N learned views, so its vectors correspond to the
  views of the models. A photograph shows a view that nobody knows, and has a
  vector for each of `TURNS` turns in its plane.

  Attributes:
    vectors: float32 [Q, D] unit vectors, Q at least 1.
    is_view_aligned: whether vector n is of the pipeline's view n, of all N.
    is_photograph: whether they are those of photographs, `TURNS` of each.
    mesh: of the thing, if there is one; models can then be registered to it.
    extent: size along the principal axes, millimetres, ascending or not; None
      if it is not known. Taken from the mesh if that is given.
    unit: of the file that the mesh was read from. It ends in ", assumed" if
      neither the file nor the user states it, and the size counts less then;
      see `size`.
  """

  vectors: np.ndarray
  is_view_aligned: bool = True
  is_photograph: bool = False
  mesh: "Mesh | None" = None
  extent: tuple[float, float, float] | None = None
  unit: str = f"mm{GIVEN}"

  def __post_init__(self):
    """Checks the vectors, and takes the size from the mesh.

    Raises:
      ValueError: there is no vector, or one is not a unit vector.
    """
    vectors = check_vectors(self.vectors, "vectors of a query")
    if not len(vectors):
      raise ValueError("a query must hold at least one vector, got none")
    if self.is_photograph and (self.is_view_aligned or len(vectors) % TURNS):
      raise ValueError(
        f"photographs must have {TURNS} vectors each that are not view-aligned,"
        f" got {len(vectors)}"
      )
    object.__setattr__(self, "vectors", vectors)
    if self.extent is None and self.mesh is not None:
      a, b, c = map(float, self.mesh.extent)
      object.__setattr__(self, "extent", (a, b, c))

  @property
  def is_unit_stated(self) -> bool:
    """Whether the file or the user states the unit."""
    return not self.unit.endswith(ASSUMED)

  @property
  def similarity(self) -> SimilarityName:
    """How its vectors are compared with those of a model."""
    if self.is_photograph:
      return "photograph"
    return "view_aligned" if self.is_view_aligned else "max"


def query_rendered(renderer: "Renderer[Any]", pipeline: "Pipeline") -> Query:
  """Makes a query of one model that has no mesh, such as a code.

  Args:
    renderer: the model, drawn at the size and in the pose that T knows.
    pipeline: of the database.

  Returns:
    The query, with the vectors of N views. Its size in millimetres is unknown,
    and nothing can be registered to it.
  """
  (vectors,) = np.asarray(pipeline.embed_rendered(renderer))
  return Query(vectors, unit=f"mm{ASSUMED}")
