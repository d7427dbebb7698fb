"""Tests of what the C library keeps."""

import platform
import subprocess
import sys

import pytest

_CODE = """
import resource, sys
import numpy as np
from dr3d.runtime.memory import keep_freed_memory
if sys.argv[1] == "kept":
  keep_freed_memory()
def fault():
  np.ones(4 << 20)  # 32 MB
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = fault()
print([fault() for _ in range(8)][-1] - first)
"""


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep"
)
def test_freed_memory_faults_no_pages_in_again():
  faults = {
    mode: int(subprocess.check_output([sys.executable, "-c", _CODE, mode]))
    for mode in ("kept", "default")
  }
  assert faults["kept"] < 100
  assert faults["default"] > 10 * faults["kept"]
