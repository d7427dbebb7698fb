"""Changes of what is known of models, but for their shapes."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from dr3d.database import catalogue, setting
from dr3d.database.base_writer import BaseWriter
from dr3d.database.sqlite_file import transaction
from dr3d.error import DatabaseError


class EditWriter(BaseWriter):
  """Changes labels and metadata, and which of it is shown."""

  def label(self, name: str, label: str) -> None:
    """Gives a model another label, which updates keep; see `edit`."""
    self.edit(name, label=label)

  def edit(
    self,
    name: str,
    *,
    label: str | None = None,
    metadata: Mapping[str, str] | None = None,
  ) -> None:
    """Changes what is known of a model.

    Args:
      name: of the model.
      label: the new one, which updates keep; None keeps the present one.
      metadata: replaces the present metadata; None keeps it.

    Raises:
      DatabaseError: there is no model of this name, or another process writes.
    """
    with self._writing():
      with (
        catalogue.open_catalogue(self.directory) as connection,
        transaction(connection),
      ):
        changed = self._find(connection, name)
        if label is not None:
          changed = dataclasses.replace(
            changed, label=label, label_source="hand"
          )
        if metadata is not None:
          changed = dataclasses.replace(changed, metadata=dict(metadata))
        catalogue.update_models(connection, [changed])
      self.refresh()
      self._try_keep_derived()

  def show_columns(self, keys: Sequence[str]) -> None:
    """Chooses which metadata is shown with a model, in this order.

    Args:
      keys: of the metadata; none for no metadata.

    Raises:
      DatabaseError: no model has metadata of such a key, or another process
        writes.
    """
    with self._writing():
      known = {key for model in self.models() for key in model.metadata}
      for key in keys:
        if key not in known:
          raise DatabaseError(
            f"no model has metadata {key!r}; the known keys are "
            f"{', '.join(sorted(known)) or 'none'}."
          )
      text = json.dumps(list(keys), ensure_ascii=False)
      with catalogue.open_catalogue(self.directory) as connection:
        catalogue.write_setting(connection, setting.COLUMNS, text)
      self.refresh()
