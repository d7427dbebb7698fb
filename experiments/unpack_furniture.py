r"""Unpacks the furniture of Sweet Home 3D as folders for `dr3d index`.

    apt-get download sweethome3d-furniture
    dpkg-deb -x sweethome3d-furniture_*.deb .
    python -m experiments.unpack_furniture --out=work/furniture \
      --libraries=usr/share/sweethome3d/furniture
    dr3d index --db=work/furniture.db --models=work/furniture
    dr3d evaluate --db=work/furniture.db

The set has about eight hundred household objects by many authors. The label is
the last word of an object's name: "Corner sofa" is a sofa. Labels are therefore
as uneven as names, and many objects are the only one of their label.
"""

import pathlib
import re
import zipfile

from absl import app, flags

from dr3d.error import LabelError

LIBRARIES = flags.DEFINE_string(
  "libraries", None, "Folder of the *.sh3f files.", required=True
)
OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
CATALOGUE = "PluginFurnitureCatalog.properties"


def main(_) -> None:
  labels = set()
  count = 0
  for path in sorted(pathlib.Path(LIBRARIES.value).glob("*.sh3f")):
    with zipfile.ZipFile(path) as archive:
      lines = archive.read(CATALOGUE).decode("latin1").splitlines()
      for name, member in read_objects(lines):
        label = read_label(name)
        if not label:
          continue
        stem = pathlib.PurePosixPath(member).name
        target = pathlib.Path(OUT.value, label, f"{path.stem}_{stem}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.read(member.lstrip("/")))
        labels.add(label)
        count += 1
  if not count:
    raise LabelError(
      f"{LIBRARIES.value} has no *.sh3f file with furniture: pass the folder"
      " of Sweet Home 3D's furniture as --libraries."
    )
  print(f"{OUT.value}: {count} objects with {len(labels)} labels")


def read_objects(lines: list[str]) -> list[tuple[str, str]]:
  """Returns name and mesh file of each object in a library's catalogue."""
  names: dict[str, str] = {}
  members: dict[str, str] = {}
  for line in lines:
    if found := re.match(r"(name|model)#(\d+)=(.*?)\s*$", line):
      kind, number, value = found.groups()
      (names if kind == "name" else members)[number] = value
  return [(names[i], members[i]) for i in names if i in members]


def read_label(name: str) -> str:
  """Returns the last word of an object's name."""
  words = re.findall("[a-z]+", name.lower())
  return words[-1] if words else ""


if __name__ == "__main__":
  app.run(main)
