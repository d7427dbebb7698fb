"""What a device runs is lowered for devices that are not here."""

import jax
import numpy as np
import pytest

from experiments.device_program import PLATFORMS, Program, Size, export
from experiments.device_program import make_programs as make

TINY = Size(faces=80, pixels=32, views=2, models=2)


@pytest.fixture(scope="module")
def programs():
  return {program.name: program for program in make(TINY)}


@pytest.mark.parametrize("name", ["draw", "gradient", "embed", "train"])
def test_program_is_lowered_for_cuda_and_tpu(programs, name):
  exported = export(programs[name])
  assert exported.platforms == PLATFORMS
  assert exported.mlir_module_serialized
  shapes = jax.eval_shape(programs[name].function, *programs[name].arguments)
  assert [(x.shape, x.dtype) for x in exported.out_avals] == [
    (x.shape, x.dtype) for x in jax.tree.leaves(shapes)
  ]


def test_encoder_of_photographs_is_lowered_for_cuda_and_tpu():
  (program,) = make(
    Size(faces=20, pixels=32, views=1, models=1, backbone="lite0"), ["embed"]
  )
  assert export(program).platforms == PLATFORMS


def test_function_of_the_host_is_not_lowered_for_a_device():
  """The check can fail: LAPACK's Schur decomposition is on CPUs alone."""

  def schur(x):
    return jax.scipy.linalg.schur(x)[0]

  with pytest.raises(NotImplementedError):
    export(Program("schur", schur, (np.eye(3, dtype=np.float32),), 1))
