import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

import dr3d
from dr3d import cli

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
def test_every_name_of_the_page_resolves_to_what_it_says(name):
  value = getattr(dr3d, name)
  assert value.__name__ == name
  assert value.__module__.startswith("dr3d.")


def test_the_page_is_sorted_and_has_no_name_twice():
  assert sorted(set(dr3d.__all__)) == list(dr3d.__all__)


def test_type_checkers_see_the_same_names_in_the_same_modules():
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


def test_unknown_names_are_attribute_errors():
  with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
    dr3d.nonsense  # noqa: B018
  with pytest.raises(ImportError):
    exec("from dr3d import nonsense")


def test_names_are_listed_before_they_are_loaded():
  assert {"load_mesh", "Pipeline", "__version__"} <= set(dir(dr3d))


HIDEABLE = [name for name in dr3d.__all__ if dr3d._HOME[name] == name]


@pytest.mark.parametrize("name", HIDEABLE)
def test_a_function_is_not_hidden_by_the_module_of_its_name(name):
  module = importlib.import_module(f"dr3d.{name}")
  assert inspect.ismodule(module)
  assert getattr(dr3d, name) is getattr(module, name)
  dr3d.__dict__.pop(name)
  setattr(dr3d, name, module)  # what an import of the module does
  assert getattr(dr3d, name) is getattr(module, name)


def test_import_and_help_load_neither_jax_nor_scipy():
  done = run_python(
    "import sys, dr3d, dr3d.cli as cli\n"
    "for verb in cli.SUBCOMMANDS:\n"
    "  assert cli.main([verb, '--help']) == 0\n"
    "assert cli.main(['--help']) == 0\n"
    "assert cli.main(['query', '--nonsense']) == 2\n"
    "heavy = {'jax', 'scipy', 'flax', 'trimesh', 'scann', 'orbax'}\n"
    "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.count("Example:") == len(cli.SUBCOMMANDS)


def test_the_version_is_that_of_the_distribution_or_unknown():
  assert isinstance(dr3d.__version__, str)
  assert dr3d.__version__
