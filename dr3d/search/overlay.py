"""Matches are laid upon the query: how far apart, and whether mirrored.

What has the same shape settles the label, where all that has it agrees.
"""

import dataclasses
from collections.abc import Mapping

from dr3d.mesh import Mesh
from dr3d.mesh.comparison import Fit, compare, make_cloud
from dr3d.mesh.packing import unpack_mesh
from dr3d.search.query import Answer
from dr3d.search.relation import NEAR


def fit_meshes(mesh: Mesh, packed: Mapping[str, bytes]) -> dict[str, Fit]:
  """Lays models upon a mesh.

  Args:
    mesh: of the query.
    packed: meshes of models, by name; see `packing.pack_mesh`.

  Returns:
    How well each of them fits, by name.
  """
  cloud = make_cloud(mesh)
  return {
    name: compare(cloud, make_cloud(unpack_mesh(data)))
    for name, data in packed.items()
  }


def complete(answer: Answer, fits: Mapping[str, Fit]) -> Answer:
  """Gives matches the distance that was found, where one was.

  A prediction that was in doubt no longer is where those matches that have the
  shape of the query, of whatever size, all have its label: however alike models
  of other labels are, the query is none of these.

  Args:
    answer: by votes.
    fits: of matches, by name.
  """
  matches = tuple(
    dataclasses.replace(
      match,
      distance=round(fits[match.model].mean, 6),
      mirrored=fits[match.model].mirrored,
    )
    if match.model in fits
    else match
    for match in answer.matches
  )
  prediction = answer.prediction
  same = {
    match.label
    for match in matches
    if match.distance is not None
    and match.distance <= NEAR
    and not match.mirrored
  }
  if prediction.label and same == {prediction.label}:
    prediction = dataclasses.replace(prediction, probability=1.0, doubt="")
  return Answer(prediction, matches)
