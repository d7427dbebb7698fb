import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

import dr3d

pytestmark = pytest.mark.fast

ROOT = pathlib.Path(dr3d.__file__).parents[1]


def run_python(code):
  return subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.mark.parametrize("name", dr3d.__all__)
def test_public_names_resolve_to_objects_of_that_name(name):
  value = getattr(dr3d, name)
  assert value.__name__ == name
  assert value.__module__.startswith("dr3d.")


def test_public_names_are_sorted_and_unique():
  assert sorted(set(dr3d.__all__)) == list(dr3d.__all__)


def test_type_checking_imports_equal_the_lazy_ones():
  (block,) = (
    node
    for node in ast.parse(inspect.getsource(dr3d)).body
    if isinstance(node, ast.If) and getattr(node.test, "id", "") != ""
  )
  imported = {
    name.name: node.module.removeprefix("dr3d.")
    for node in block.body
    if isinstance(node, ast.ImportFrom)
    for name in node.names
  }
  assert imported == dr3d._HOME
  assert sorted(imported) == dr3d.__all__


def test_unknown_name_raises_attribute_error():
  with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
    dr3d.nonsense  # noqa: B018
  with pytest.raises(ImportError):
    exec("from dr3d import nonsense")


def test_dir_lists_names_before_they_are_imported():
  assert {"load_mesh", "Pipeline", "__version__"} <= set(dir(dr3d))


HIDEABLE = [name for name in dr3d.__all__ if dr3d._HOME[name] == name]


@pytest.mark.parametrize("name", HIDEABLE)
def test_function_is_not_hidden_by_the_module_of_its_name(name):
  module = importlib.import_module(f"dr3d.{name}")
  assert inspect.ismodule(module)
  assert getattr(dr3d, name) is getattr(module, name)
  dr3d.__dict__.pop(name)
  setattr(dr3d, name, module)  # what an import of the module does
  assert getattr(dr3d, name) is getattr(module, name)


def test_import_loads_neither_jax_nor_scipy():
  done = run_python(
    "import sys, dr3d\n"
    "heavy = {'jax', 'scipy', 'flax', 'trimesh', 'scann', 'orbax', 'numpy'}\n"
    "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
  )
  assert done.returncode == 0, done.stderr


def test_version_is_a_nonempty_string():
  assert isinstance(dr3d.__version__, str)
  assert dr3d.__version__
