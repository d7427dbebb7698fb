"""What stands in for larger things in several test modules."""


class StoredPipeline:
  """A pipeline that is stored as its fingerprint."""

  def __init__(self, fingerprint="one"):
    self.fingerprint = fingerprint

  def save(self, directory):
    directory.mkdir(exist_ok=True)
    (directory / "name").write_text(self.fingerprint)

  @classmethod
  def load(cls, directory):
    return cls((directory / "name").read_text())
