"""A query by a mesh becomes an answer that can be sent."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from dr3d.database.condition import Condition
from dr3d.mesh import Mesh
from dr3d.registration.surface import Fit
from dr3d.search.answer import UNVERIFIED, Answer
from dr3d.search.query import Query
from dr3d.server import schema
from dr3d.server.query_options import QueryOptions
from dr3d.server.state import State
from dr3d.server.worker import WorkerPool


def answer_mesh(
  state: State,
  workers: WorkerPool,
  name: str,
  shape: schema.Shape,
  mesh: Mesh,
  features: np.ndarray,
  options: QueryOptions,
  *,
  exclude: tuple[str, ...] = (),
) -> schema.Answer:
  """Answers a query by a mesh.

  Args:
    state: of the database.
    workers: register the mesh to models.
    name: of the query.
    shape: what the answer says of the query.
    mesh: of the query.
    features: its vectors.
    options: of the query.
    exclude: names of models to leave out.
  """
  unverified = False

  def register(mesh: Mesh, packed: Mapping[str, bytes]) -> Mapping[str, Fit]:
    nonlocal unverified
    fits = workers.register(mesh, packed)
    unverified = fits is None
    return fits or {}

  answer = state.reader.query(
    Query(features, mesh=mesh, unit=shape.unit),
    k=options.k,
    exclude=exclude,
    condition=None if options.condition == Condition() else options.condition,
    min_score=options.min_score,
    verify=options.verify,
    size=options.size,
    register=register,
  )
  if unverified:
    answer = _reject_unverified(answer)
  return schema.make_answer(
    name, shape, answer, state.models, unverified=unverified
  )


def _reject_unverified(answer: Answer) -> Answer:
  """An answer whose votes alone are not enough to accept it."""
  prediction = answer.prediction
  if prediction.accepted:
    prediction = dataclasses.replace(prediction, reject_reason=UNVERIFIED)
  return dataclasses.replace(answer, prediction=prediction)


def describe_shape(mesh: Mesh, unit: str) -> schema.Shape:
  """What an answer says of a mesh in a unit."""
  a, b, c = map(float, mesh.extent)
  return schema.Shape(extent=(a, b, c), unit=unit, face_count=len(mesh.faces))
