"""A fitted code as a file of JSON: the code, its camera, and whose it is."""

import json
import pathlib

import numpy as np

from dr3d.error import FieldError
from dr3d.field.camera_file import to_frame
from dr3d.field.field import Field
from dr3d.field.fit import FittedCodes
from dr3d.runtime.atomic import atomic_file


def write_code(path: pathlib.Path, field: Field, fitted: FittedCodes) -> None:
  """Writes the first of some fitted codes.

  Args:
    path: of the file.
    field: to which the code belongs.
    fitted: from `fit_codes`.
  """
  data = {
    "field": field.fingerprint,
    "code": fitted.codes[0].tolist(),
    "loss": float(fitted.loss[0]),
    **to_frame(fitted.views, 0),
  }
  with atomic_file(path) as partial:
    partial.write_text(json.dumps(data, indent=1), encoding="utf-8")


def read_code(path: pathlib.Path, field: Field) -> np.ndarray:
  """Reads a code `[Z]`.

  Raises:
    FieldError: the file is missing or damaged, or belongs to another field.
  """
  try:
    data = json.loads(path.read_text(encoding="utf-8"))
    code = np.asarray(data["code"], np.float32)
    owner = data["field"]
  except FileNotFoundError as error:
    raise FieldError(f"{path} does not exist.") from error
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise FieldError(
      f"{path} is not a code that dr3d field fit wrote."
    ) from error
  if owner != field.fingerprint or code.shape != field.codes.shape[1:]:
    raise FieldError(
      f"{path} is a code of another field; fit the photograph to this one."
    )
  return code
