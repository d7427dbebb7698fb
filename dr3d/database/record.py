"""A model as a record of the catalogue: its columns and their digest."""

import json

from dr3d.database.digest import Value, hash_values
from dr3d.database.model import Model
from dr3d.database.schema import FORMAT

PLAIN = (  # columns that are fields of `Model` as they stand
  "name",
  "label",
  "hash",
  "state",
  "reason",
  "fingerprint",
  "source",
  "unit",
  "geometry",
  "body_count",
  "area",
  "volume",
  "radius",
  "face_count",
)
SOURCES = ("label_source", "unit_source")  # likewise, since format 4
COLUMNS = (
  *PLAIN,
  *SOURCES,
  "metadata",
  "extent_a",
  "extent_b",
  "extent_c",
  "checksum",
  "shape_digest",
)
"""What the digest of a row covers. Not the slot, which a rebuild changes: the
checksum of the vectors tells a wrong one."""

SELECT = {
  3: ", ".join(COLUMNS)
  .replace("label_source", "'table'")
  .replace("unit_source", "'default'")
  .replace("shape_digest", "NULL, NULL"),
  FORMAT: ", ".join((*COLUMNS, "digest")),
}


def to_model(version: int, values: tuple) -> Model | None:
  """A row as `SELECT` reads it; None if it is damaged."""
  *columns, digest = values
  if version >= 4 and digest != hash_values(columns):
    return None
  plain = dict(zip((*PLAIN, *SOURCES), columns, strict=False))
  metadata, a, b, c, _, _ = columns[len(plain) :]
  try:
    return Model(
      **plain,
      metadata=json.loads(metadata),
      extent=None if a is None else (a, b, c),
    )
  except ValueError:  # format 3 has no digest that tells it before
    return None


def to_values(
  model: Model, checksum: int | None, shape_digest: int | None
) -> tuple[Value, ...]:
  """The values of `COLUMNS`."""
  return (
    *(getattr(model, column) for column in (*PLAIN, *SOURCES)),
    json.dumps(dict(model.metadata), ensure_ascii=False, sort_keys=True),
    *(model.extent or (None, None, None)),
    checksum,
    shape_digest,
  )
