"""The example in the help of each public function runs and prints that."""

import doctest
import inspect

import pytest

import dr3d

# A training of one step compiles for a minute; the other needs a folder of
# models, which README.md shows.
WITHOUT = {"find_models", "train"}
FUNCTIONS = [
  name
  for name in dr3d.__all__
  if inspect.isfunction(getattr(dr3d, name)) and name not in WITHOUT
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example_of_public_function_prints_what_it_says(name):
  function = getattr(dr3d, name)
  (test,) = doctest.DocTestFinder(recurse=False).find(
    function, name, globs=vars(inspect.getmodule(function)).copy()
  )
  assert test.examples, f"help(dr3d.{name}) has no example"
  assert doctest.DocTestRunner().run(test).failed == 0
