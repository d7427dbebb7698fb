"""Options of a query, as a request states them."""

import dataclasses

from dr3d.database.condition import Condition
from dr3d.mesh.unit import Unit
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.search.size import SizeMode


@dataclasses.dataclass(frozen=True)
class QueryOptions:
  """Options of a query.

  Attributes:
    k: matches wanted.
    condition: which models are searched.
    min_score: of a match.
    verify: how many of the first matches are registered to the query.
    evidence: whether to return views and a GLB of the query.
    unit: of a file that states none; None for that of the database.
    size: how the true size takes part; see `size.SIZE_MODES`.
  """

  k: int = 10
  condition: Condition = dataclasses.field(default_factory=Condition)
  min_score: float = -1.0
  verify: int = VERIFIED_COUNT
  evidence: bool = False
  unit: Unit | None = None
  size: SizeMode = "prefer"
