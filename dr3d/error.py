"""The exceptions of the package.

A message is one sentence for a person: it names the file or directory, the
reason and, if possible, what to do. The command prints it unchanged.
"""


class Dr3dError(Exception):
  """Base class of the errors that dr3d raises on purpose."""


class MeshError(Dr3dError):
  """A file or arrays are not a usable mesh."""


class PictureError(Dr3dError):
  """A file is not a picture that can be read, or shows nothing to ask for."""


class LabelError(Dr3dError):
  """A label table cannot be read or does not match the folder."""


class PipelineError(Dr3dError):
  """A saved pipeline is missing, damaged or of another version."""


class DatabaseError(Dr3dError):
  """A database is missing, damaged, empty or of another version."""


class LockError(DatabaseError):
  """Another process writes to the database."""


class FullDiskError(DatabaseError):
  """The disk of a database is full."""


class EmptyError(DatabaseError):
  """A database has no model to search."""


class ConflictError(DatabaseError):
  """A database already has another model of the same name."""


class ConditionError(DatabaseError):
  """A query asks for a label or a metadata key that no model has."""


class ServiceError(Dr3dError):
  """A service rejected a request or cannot be reached.

  Attributes:
    status: HTTP status; None if there was no response.
  """

  def __init__(self, message: str, *, status: int | None = None):
    super().__init__(message)
    self.status = status


class TrainingError(Dr3dError):
  """A training run cannot start or must stop."""


class FieldError(Dr3dError):
  """A field, its cameras or its pictures cannot be used."""
