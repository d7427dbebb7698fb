"""How the C library gives memory back to the kernel."""

import contextlib
import ctypes

# Parameters of mallopt(3), in malloc.h of glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_KEPT = 256 << 20  # bytes; arrays of a mesh or of its images are far smaller
# With one arena the threads of a query wait for each other: `dr3d quickstart`
# then took 66 instead of 54 s.
_ARENAS = 2


def keep_freed_memory() -> None:
  """Lets this process use memory again that it has freed.

  By default glibc gives each array of more than 128 kB back to the kernel, and
  the next one of that size faults all its pages in again. An indexing frees
  such arrays all the time: of 86 CPU seconds 6 went into page faults. With an
  arena for each thread, what one thread frees serves no other. Other C
  libraries, and other systems, are left as they are.
  """
  with contextlib.suppress(AttributeError, OSError, TypeError):
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_THRESHOLD, _KEPT)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
    mallopt(_M_ARENA_MAX, _ARENAS)
