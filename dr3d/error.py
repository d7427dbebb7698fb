"""The package's own exceptions: each message is one sentence for a person.

A message names the file or directory concerned, the reason, and, where there
is one, what to do. The command line prints it as it stands.
"""


class Dr3dError(Exception):
  """Base of everything that dr3d raises on purpose."""


class MeshError(Dr3dError):
  """A file cannot become a mesh."""


class LabelError(Dr3dError):
  """A table of labels cannot be read or does not fit the folder."""


class PipelineError(Dr3dError):
  """A saved pipeline is missing, damaged or of another version."""


class DatabaseError(Dr3dError):
  """A database is missing, damaged, empty or of another version."""


class LockError(DatabaseError):
  """Another process is writing to the database."""


class EmptyError(DatabaseError):
  """A database holds nothing that could be searched."""


class ConflictError(DatabaseError):
  """A database already has another model of the same name."""


class ConditionError(DatabaseError):
  """A query asks for a label or a key that no model has."""


class ServiceError(Dr3dError):
  """A service refuses, or cannot be reached.

  Attributes:
    status: of HTTP; None where there was no answer.
  """

  def __init__(self, message: str, *, status: int | None = None):
    super().__init__(message)
    self.status = status


class TrainingError(Dr3dError):
  """A training run cannot start or must not go on."""
