"""Values as bytes and back, in a format that cannot run code (MessagePack).

A process that parses a hostile file may be taken over by it. So what it sends
must not be unpickled: a pickle runs whatever it names. Here the types that may
be read are listed, fields are checked, and nothing else is constructed.
"""

import dataclasses
import functools
import importlib
import math
import os
import pathlib
import types
import typing
from typing import Any

import msgpack
import numpy as np

from dr3d import error as error_lib
from dr3d.error import Dr3dError

# Listed by name, because this module is below those that define them.
_DATACLASSES = {
  "Mesh": "dr3d.mesh.mesh",
  "ProcessedModel": "dr3d.database.processed_model",
  "Fit": "dr3d.registration.surface",
  "Deviation": "dr3d.registration.deviation",
  "Group": "dr3d.database.duplicate",
  "Member": "dr3d.database.duplicate",
  "CutOut": "dr3d.image.cutout",
  "Mask": "dr3d.image.mask",
}
_ERRORS = {"FaceLimitError": "dr3d.server.upload_reader"}

_ARRAY, _DATACLASS, _ERROR, _PATH, _TUPLE = range(
  1, 6
)  # MessagePack extensions
_KINDS = "biuf"  # of numpy: bool, integers, floats; never object


class CodecError(ValueError):
  """Bytes are not a value of the known types, or a value cannot be sent."""


def encode(value: Any) -> bytes:
  """Encodes a value.

  Args:
    value: None, numbers, text, bytes, paths, arrays, lists, tuples, dicts with
      text as keys, the dataclasses listed above, or Dr3dErrors.

  Raises:
    CodecError: it holds another type.
  """
  try:
    return msgpack.packb(
      value,
      default=_encode,
      strict_types=True,  # subclasses and tuples reach `_encode`
      unicode_errors="surrogatepass",  # file names that are not UTF-8
    )
  except (TypeError, ValueError, OverflowError) as error:
    raise CodecError(f"a value cannot be sent ({error})") from error


def decode(data: bytes) -> Any:
  """Returns the value that `encode` encoded; arrays can be written to.

  Raises:
    CodecError: the bytes are damaged, or hold an unknown type.
  """
  try:
    return msgpack.unpackb(
      data,
      ext_hook=_decode,
      unicode_errors="surrogatepass",
      strict_map_key=True,
    )
  except CodecError:
    raise
  except (ValueError, TypeError, LookupError, RecursionError) as error:
    raise CodecError(f"an answer cannot be read ({error})") from error
  except msgpack.UnpackException as error:
    raise CodecError(f"an answer cannot be read ({error})") from error


def _encode(value: Any) -> Any:
  match value:
    case tuple():
      return msgpack.ExtType(_TUPLE, encode(list(value)))
    case np.ndarray():
      return _encode_array(value)
    case np.bool_() | np.integer() | np.floating():
      return value.item()
    case pathlib.PurePath():
      return msgpack.ExtType(_PATH, os.fsencode(value))
    case Dr3dError():
      return msgpack.ExtType(_ERROR, encode([_name_error(value), str(value)]))
    case str():  # a subclass
      return str(value)
  kind, name = type(value), type(value).__name__
  if name in _DATACLASSES and kind is _find_class(name):
    fields = {
      field.name: getattr(value, field.name)
      for field in dataclasses.fields(kind)
      if field.init
    }
    return msgpack.ExtType(_DATACLASS, encode([name, fields]))
  raise CodecError(f"{type(value).__name__} is not a type that can be sent")


def _encode_array(array: np.ndarray) -> msgpack.ExtType:
  if array.dtype.kind not in _KINDS:
    raise CodecError(f"an array of {array.dtype} cannot be sent")
  data = np.ascontiguousarray(array).tobytes()
  return msgpack.ExtType(
    _ARRAY, msgpack.packb([array.dtype.str, list(array.shape), data])
  )


def _decode(code: int, data: bytes) -> Any:
  match code:
    case 1:  # _ARRAY
      return _decode_array(*msgpack.unpackb(data))
    case 2:  # _DATACLASS
      return _make_dataclass(*decode(data))
    case 3:  # _ERROR
      return _make_error(*decode(data))
    case 4:  # _PATH
      return pathlib.Path(os.fsdecode(data))
    case 5:  # _TUPLE
      return tuple(decode(data))
  raise CodecError(f"an answer has the unknown type {code}")


def _decode_array(dtype: str, shape: list[int], data: bytes) -> np.ndarray:
  if not isinstance(dtype, str) or np.dtype(dtype).kind not in _KINDS:
    raise CodecError(f"an answer has an array of {dtype!r}")
  if any(size < 0 for size in shape):
    raise CodecError(f"an answer has an array of the shape {shape}")
  # The copy can be written to, as the array that was sent.
  return np.frombuffer(data, dtype).reshape(shape).copy()


def _make_dataclass(name: str, fields: dict[str, Any]) -> Any:
  kind = _find_class(name)
  hints = typing.get_type_hints(kind)
  for field, value in fields.items():
    if field not in hints or not _has_type(value, hints[field]):
      raise CodecError(
        f"an answer has a {type(value).__name__} as {name}.{field}"
      )
  if name == "Mesh":
    _check_mesh(fields)
  return kind(**fields)


def _make_error(name: str, message: str) -> Dr3dError:
  if name in _ERRORS:
    kind = getattr(importlib.import_module(_ERRORS[name]), name)
  else:
    kind = getattr(error_lib, name, None)
  if not (isinstance(kind, type) and issubclass(kind, Dr3dError)):
    raise CodecError(f"an answer has the unknown error {name!r}")
  return kind(str(message))


def _name_error(error: Dr3dError) -> str:
  """Name of the nearest class of an error that the reader knows."""
  for kind in type(error).__mro__:
    name = kind.__name__
    if name in _ERRORS or getattr(error_lib, name, None) is kind:
      return name
  return Dr3dError.__name__


@functools.cache
def _find_class(name: str) -> type:
  if name not in _DATACLASSES:
    raise CodecError(f"an answer has the unknown type {name!r}")
  return getattr(importlib.import_module(_DATACLASSES[name]), name)


def _has_type(value: Any, hint: Any) -> bool:
  """Whether a value is what the annotation of a field says, roughly."""
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return any(_has_type(value, argument) for argument in arguments)
  if origin is typing.Literal:
    return value in arguments
  if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
    return isinstance(value, tuple) and all(
      _has_type(item, arguments[0]) for item in value
    )
  if hint is float:
    return isinstance(value, int | float) and not isinstance(value, bool)
  return isinstance(value, origin or hint)


def _check_mesh(fields: dict[str, Any]) -> None:
  """Checks what the renderer would otherwise read beyond an array's end."""
  vertices, faces = fields["vertices"], fields["faces"]
  count, colors = len(faces), fields.get("colors")
  shapes = {"normals": (count, 3, 3), "frame": (3, 3), "moments": (3,)}
  is_sound = (
    vertices.ndim == 2
    and vertices.shape[1] == 3
    and faces.shape == (count, 3)
    and faces.dtype.kind in "iu"
    and (not count or 0 <= faces.min() <= faces.max() < len(vertices))
    and fields["extent"].shape == (3,)
    and all(fields[name].shape == shape for name, shape in shapes.items())
    and (colors is None or colors.shape == (count, 3, 3))
    and bool(np.isfinite(vertices).all())
    and math.isfinite(fields["radius"])
  )
  if not is_sound:
    raise CodecError("an answer has an inconsistent mesh")
