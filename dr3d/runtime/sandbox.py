"""Takes rights away from this process for ever: files, network, programs.

Linux only. Where the kernel lacks one of the protections the others still
hold, and `describe` says which there are:

    no new privileges   set-user-id programs give none back (prctl(2))
    network namespace   no interface but a loopback of its own (unshare(2))
    Landlock            opens only listed files (landlock(7)); since ABI 4 no
                        TCP, since ABI 6 no signals to processes outside
    seccomp             no sockets, no other programs, no tracing (seccomp(2))

No package of PyPI wraps Landlock, and pyseccomp needs the C library libseccomp.
So the system calls are made here through ctypes.
"""

import ctypes
import os
import pathlib
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterable

from dr3d.error import Dr3dError

# Of linux/prctl.h, linux/sched.h, linux/seccomp.h.
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

# Landlock's system calls have these numbers on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1

# Rights of linux/landlock.h: bit 0 execute, 1 write file, 2 read file, 3 read
# directory.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIRECTORY = (
  1 << bit for bit in range(4)
)
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of them, by ABI
_NETWORK_RIGHTS = 0b11  # bind and connect TCP, since ABI 4
_SCOPES = 0b11  # abstract UNIX sockets, signals; since ABI 6

# What Python, numpy and OpenCASCADE read besides their packages.
_SYSTEM_PATHS = (
  "/lib",
  "/lib64",
  "/usr/lib",
  "/usr/lib64",
  "/usr/share/zoneinfo",
  "/etc/ld.so.cache",
  "/etc/localtime",
  "/dev/null",
  "/dev/zero",
  "/dev/random",
  "/dev/urandom",
  "/proc/cpuinfo",
  "/proc/meminfo",
  "/sys/devices/system/cpu",
)

# System calls that are denied: number on x86-64, number on ARM64 (None if it
# does not exist there).
_DENIED: dict[str, tuple[int, int | None]] = {
  "socket": (41, 198),
  "socketpair": (53, 199),
  "connect": (42, 203),
  "bind": (49, 200),
  "listen": (50, 201),
  "accept": (43, 202),
  "accept4": (288, 242),
  "sendto": (44, 206),
  "sendmsg": (46, 211),
  "sendmmsg": (307, 269),
  "execve": (59, 221),
  "execveat": (322, 281),
  "ptrace": (101, 117),
  "process_vm_readv": (310, 270),
  "process_vm_writev": (311, 271),
  "process_madvise": (440, 440),
  "pidfd_open": (434, 434),
  "pidfd_getfd": (438, 438),
  "kcmp": (312, 272),
  "unshare": (272, 97),
  "setns": (308, 268),
  "mount": (165, 40),
  "umount2": (166, 39),
  "pivot_root": (155, 41),
  "chroot": (161, 51),
  "open_tree": (428, 428),
  "move_mount": (429, 429),
  "fsopen": (430, 430),
  "fsmount": (432, 432),
  "open_by_handle_at": (304, 265),
  "name_to_handle_at": (303, 264),
  "add_key": (248, 217),
  "request_key": (249, 218),
  "keyctl": (250, 219),
  "bpf": (321, 280),
  "perf_event_open": (298, 241),
  "userfaultfd": (323, 282),
  "io_uring_setup": (425, 425),
  "io_uring_enter": (426, 426),
  "io_uring_register": (427, 427),
  "init_module": (175, 105),
  "finit_module": (313, 273),
  "delete_module": (176, 106),
  "kexec_load": (246, 104),
  "swapon": (167, 224),
  "reboot": (169, 142),
  "sethostname": (170, 161),
  "settimeofday": (164, 170),
  "acct": (163, 89),
  "quotactl": (179, 60),
}
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32_BIT = 0x40000000  # x86-64 numbers of the 32-bit ABI would slip through

# Berkeley packet filter: codes of linux/bpf_common.h, verdicts of seccomp.h.
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR_EPERM, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET = 0, 4  # in struct seccomp_data


class SandboxError(Dr3dError):
  """The kernel offers a protection and yet does not grant it."""


def describe() -> list[str]:
  """Names the protections that this kernel offers, without using them."""
  if sys.platform != "linux":
    return []
  found = ["no new privileges"]
  if abi := _landlock_abi():
    found.append(f"Landlock (ABI {abi})")
  if platform.machine() in _ARCHITECTURES and _has_seccomp():
    found.append("seccomp")
  return found


def leave_network() -> bool:
  """Moves this process to a network namespace that has no connections.

  Returns:
    Whether the system allows it: to root, and to others if it grants user
    namespaces to them.
  """
  if sys.platform != "linux":
    return False
  # A user namespace takes root's right to read the files of others. So it is
  # used only if the system does not grant a network namespace without it.
  return any(
    _libc().unshare(flags) == 0
    for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET)
  )


def end_with_parent() -> None:
  """Makes the kernel kill this process when its parent ends."""
  if sys.platform == "linux":
    _libc().prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def restrict(readable: Iterable[pathlib.Path] | None) -> None:
  """Takes rights away from this process and those that it starts.

  Args:
    readable: files, and folders with all below them, that it may read besides
      Python and its packages; None for all files of this user.

  Raises:
    SandboxError: the kernel offers a protection and does not grant it. The
      caller must then not continue.
  """
  if sys.platform != "linux":
    return
  _check(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
  abi = _landlock_abi()
  if abi and readable is not None:
    _use_landlock(abi, readable)
  if platform.machine() in _ARCHITECTURES and _has_seccomp():
    _use_seccomp(*_ARCHITECTURES[platform.machine()])


def _libc() -> ctypes.CDLL:
  return ctypes.CDLL(None, use_errno=True)


def _check(status: int, what: str) -> int:
  if status < 0:
    reason = os.strerror(ctypes.get_errno())
    raise SandboxError(f"cannot be read safely ({what}: {reason})")
  return status


def _landlock_abi() -> int:
  """Version of Landlock; 0 if the kernel does not have it."""
  abi = _libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
  return max(0, abi)


def _has_seccomp() -> bool:
  """Whether the kernel filters system calls; EFAULT says that it would."""
  fault = _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, 0, 0, 0)
  return fault == -1 and ctypes.get_errno() == 14  # EFAULT; else EINVAL


def _use_landlock(abi: int, readable: Iterable[pathlib.Path]) -> None:
  """Denies all files but some; see landlock_create_ruleset(2)."""
  rights = (1 << _FILE_RIGHTS.get(abi, 16)) - 1
  network = _NETWORK_RIGHTS if abi >= 4 else 0
  scopes = _SCOPES if abi >= 6 else 0
  attributes = struct.pack("<QQQ", rights, network, scopes)
  size = 24 if abi >= 6 else 16 if abi >= 4 else 8
  libc = _libc()
  ruleset = _check(
    libc.syscall(_CREATE_RULESET, attributes, size, 0), "Landlock"
  )
  for path in (*find_runtime_paths(), *readable):
    _allow(libc, ruleset, path)
  _check(libc.syscall(_RESTRICT_SELF, ruleset, 0), "Landlock")
  os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: pathlib.Path) -> None:
  """Allows to read a file, or all below a folder; a missing path is skipped."""
  try:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
  except OSError:
    return
  rights = _READ_FILE
  if path.is_dir():
    rights |= _READ_DIRECTORY | _EXECUTE
  if path == pathlib.Path(os.devnull):  # `output.suppress_output` writes to it
    rights |= _WRITE_FILE
  rule = struct.pack("<Qi", rights, descriptor)  # packed, 12 bytes
  try:
    _check(
      libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0), "Landlock"
    )
  finally:
    os.close(descriptor)


def find_runtime_paths() -> list[pathlib.Path]:
  """Folders that Python, its packages and the C library are read from.

  The working directory is not among them, though Python may import from it.
  """
  package = pathlib.Path(__file__).parents[1]
  folders = {package, *map(pathlib.Path, _SYSTEM_PATHS)}
  folders |= {pathlib.Path(path) for path in sysconfig.get_paths().values()}
  for entry in map(pathlib.Path, sys.path):
    is_installed = {"site-packages", "dist-packages"} & {*entry.parts}
    if is_installed or entry.name.startswith("python3"):
      folders.add(entry)
  return sorted(folders - {pathlib.Path("/"), pathlib.Path.home()})


def _use_seccomp(architecture: int, column: int) -> None:
  """Denies system calls with EPERM; foreign architectures end the process."""
  numbers = sorted(
    number for pair in _DENIED.values() if (number := pair[column]) is not None
  )
  program = [
    (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
    (_JUMP_EQUAL, 1, 0, architecture),
    (_RETURN, 0, 0, _KILL),
    (_LOAD, 0, 0, _NUMBER_OFFSET),
    (_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT),
    (_RETURN, 0, 0, _KILL),
  ]
  for number in numbers:
    program.append((_JUMP_EQUAL, 0, 1, number))
    program.append((_RETURN, 0, 0, _ERROR_EPERM))
  program.append((_RETURN, 0, 0, _ALLOW))
  code = b"".join(struct.pack("<HBBI", *step) for step in program)
  buffer = ctypes.create_string_buffer(code, len(code))
  # struct sock_fprog: a count, padding, and the address of the program.
  header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
  _check(
    _libc().prctl(
      _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0
    ),
    "seccomp",
  )


def clean_environment() -> dict[str, str]:
  """The environment without what may be secret, such as tokens."""
  kept = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
  environment = {name: os.environ[name] for name in kept if name in os.environ}
  for name, value in os.environ.items():
    if name.startswith("LC_"):
      environment[name] = value
  return environment
