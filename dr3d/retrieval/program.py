"""Programs that are traced once and kept on the disk for later processes.

JAX's own cache saves compiling, but each process still traces and lowers what
it calls: more than a second of the three that a query takes. So the lowered
program is kept too, as `jax.export` writes it, with the budget that it was
traced for. A file is used only by the version of dr3d, JAX and NumPy that wrote
it, on the same kind and number of devices; a damaged one is written again.
"""

import dataclasses
import functools
import hashlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import NamedSharding, PartitionSpec

from dr3d.render.raster import Budget, Usage
from dr3d.runtime.atomic import atomic_file
from dr3d.runtime.cache import OFF, cache_directory

_LOG = logging.getLogger(__name__)
_PACKAGE = pathlib.Path(__file__).parents[1]
_ROOMS = ("camera", "geometry", "nn", "render", "retrieval", "runtime")
_OPTIONS = (  # of JAX that change what is traced
  "jax_enable_x64",
  "jax_default_matmul_precision",
  "jax_numpy_dtype_promotion",
)
_CACHE = "jax_compilation_cache_dir"  # an option, unknown to type checkers
_DIGEST = 32  # bytes of SHA-256, in front of each file


class Programs:
  """Calls a jitted function, by programs of the disk if there are any.

  The function maps arrays, and the static arguments `config`, `budget` and
  `devices`, to an array and a `Usage`.
  """

  def __init__(
    self,
    function: Callable[..., tuple[jax.Array, Usage]],
    *,
    config: Hashable,
    devices: DeviceMesh,
  ):
    """Loads nothing yet.

    Args:
      function: jitted.
      config: its static argument; its `repr` tells it from others.
      devices: likewise.
    """
    self._function = functools.partial(function, config=config, devices=devices)
    self._devices = devices
    self._name = f"{function.__name__} {config!r} {devices.size}"
    self._calls: dict[tuple[str, Budget], Callable[..., Any]] = {}

  def find_budget(self, arguments: tuple[Any, ...]) -> Budget | None:
    """The budget that held a call of this shape in an earlier process."""
    note, _ = _read(self._path(arguments, "budget"))
    try:
      return Budget(**note) if note else None
    except TypeError:
      return None

  def keep_budget(self, arguments: tuple[Any, ...], budget: Budget) -> None:
    """Remembers a budget for `find_budget`."""
    _write(self._path(arguments, "budget"), dataclasses.asdict(budget), b"")

  def call(
    self, arguments: tuple[Any, ...], budget: Budget
  ) -> tuple[jax.Array, Usage]:
    """Calls the function."""
    leaves, structure = jax.tree.flatten(arguments)
    path = self._path(arguments, repr(budget))
    key = str(path), budget
    if key not in self._calls:
      self._calls[key] = self._prepare(path, leaves, structure, budget)
    result, *usage = self._calls[key](*leaves)
    return result, Usage(*usage)

  def _prepare(
    self,
    path: pathlib.Path | None,
    leaves: list[Any],
    structure: Any,
    budget: Budget,
  ) -> Callable[..., Any]:
    """Reads the program of a call; traces and writes it if there is none."""

    def flat(*leaves: Any) -> tuple[Any, ...]:
      arguments = jax.tree.unflatten(structure, leaves)
      result, usage = self._function(*arguments, budget=budget)
      return result, *jax.tree.leaves(usage)

    if path is None:
      return jax.jit(flat)
    try:
      from jax import export

      _, data = _read(path)
      if not data:
        data = bytes(export.export(jax.jit(flat))(*leaves).serialize())
        _write(path, {}, data)
      program = export.deserialize(bytearray(data))
    except (ImportError, NotImplementedError, ValueError) as error:
      # Kernels of some platforms cannot be written; then each process traces.
      _LOG.info("a program is not kept: %s", error)
      return jax.jit(flat)
    common = NamedSharding(self._devices, PartitionSpec())
    return jax.jit(program.call, in_shardings=common)

  def _path(self, arguments: tuple[Any, ...], what: str) -> pathlib.Path | None:
    """The file of a program; None if nothing is kept."""
    leaves, structure = jax.tree.flatten(arguments)
    shapes = [(np.shape(leaf), str(jnp.result_type(leaf))) for leaf in leaves]
    return _find_path(f"{self._name} {structure} {shapes} {what}")


def is_known(text: str) -> bool:
  """Whether a process of this version has made a check `make_known`."""
  return bool(_read(_find_path(text))[0])


def make_known(text: str) -> None:
  """Remembers that a check has passed, so that no later process repeats it.

  Args:
    text: what was checked.
  """
  _write(_find_path(text), {"passed": True}, b"")


def _find_path(text: str) -> pathlib.Path | None:
  """The file of what a text describes; None if nothing is kept."""
  directory = _find_directory()
  if directory is None:
    return None
  text = f"{_describe_origin()} {text}"
  return directory / hashlib.sha256(text.encode()).hexdigest()


def _find_directory() -> pathlib.Path | None:
  if os.environ.get("DR3D_CACHE") in OFF:
    return None
  if getattr(jax.config, _CACHE) is None:
    return None
  return cache_directory() / "programs"


def _describe_origin() -> str:
  """What a program depends on, except for its arguments."""
  options = [getattr(jax.config, name) for name in _OPTIONS]
  return f"{jax.__version__} {jax.default_backend()} {options} {_hash_code()}"


@functools.cache
def _hash_code() -> str:
  """Digest of the modules that programs are traced from."""
  digest = hashlib.sha256(np.__version__.encode())
  for room in _ROOMS:
    for path in sorted((_PACKAGE / room).rglob("*.py")):
      digest.update(path.read_bytes())
  return digest.hexdigest()


def _read(path: pathlib.Path | None) -> tuple[dict[str, Any], bytes]:
  """Note and data of a file; both empty if there is none, or it is damaged."""
  try:
    content = b"" if path is None else path.read_bytes()
  except OSError:
    content = b""
  digest, content = content[:_DIGEST], content[_DIGEST:]
  if hashlib.sha256(content).digest() != digest:
    return {}, b""
  line, _, data = content.partition(b"\n")
  return json.loads(line), data


def _write(
  path: pathlib.Path | None, note: dict[str, Any], data: bytes
) -> None:
  """Writes a file; without space for it, the next process traces again."""
  if path is None:
    return
  content = json.dumps(note).encode() + b"\n" + data
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
      partial.write_bytes(hashlib.sha256(content).digest() + content)
  except OSError as error:
    _LOG.info("%s is not kept: %s", path, error)
