"""Small databases that former versions of dr3d wrote.

`tests/database/stored/format-N.zip` holds the folder `db` in format N, beside
the files that it was made of: `models` and `labels.csv` for the folder of
models, `extra` for files added one by one. Its pipeline is the stand-in below.

    format 1   before version 0.1: no units, metadata, meshes or kept files
    format 2   before version 0.1: vectors in the rows of the catalogue
    format 3   version 0.1
"""

import pathlib
import zipfile

import numpy as np

from support.standin import StoredPipeline

STORED = pathlib.Path(__file__).parents[1] / "database" / "stored"

LABELS = {
  "bad.stl": "",
  "bolt/a.stl": "screw",  # from a table, not the name of the folder
  "bolt/b.stl": "bolt",
  "extra/rod.stl": "rod",  # added by itself
  "nut/c.stl": "hex nut",  # set by hand
  "nut/gone.stl": "nut",  # its file was missing
  "upload/up.stl": "plate",  # the database keeps its file
}
"""Labels in the databases of format 2 and later."""

PENDING = "upload/pending.stl"
"""A model that was accepted and is not yet in the catalogue; its label is
"disc", its unit the centimetre."""


class ExtentPipeline(StoredPipeline):
  """Two vectors of a mesh, of its extent alone; made the stored databases."""

  face_budget = 200

  def embed(self, meshes):
    rows = np.array([[*mesh.extent, 0.3 * mesh.extent[0]] for mesh in meshes])
    rows = rows[:, None, :] * np.array([[1, 1, 1, 1], [1, 1, 1, -1]])
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows.astype(np.float32)


def unpack(number, directory):
  """Unpacks the database of a format; returns its folder."""
  with zipfile.ZipFile(STORED / f"format-{number}.zip") as archive:
    archive.extractall(directory)
  return directory / "db"
