"""Groups of duplicates as one HTML page that holds its images."""

import base64
from collections.abc import Mapping, Sequence

import jinja2

from dr3d.database.duplicate import Group, Member
from dr3d.registration.relation import (
  IDENTICAL,
  MIRRORED,
  SAME,
  SCALED,
  SIMILAR,
)

_PHRASES = {
  IDENTICAL: "identical to",
  SAME: "the same shape as",
  SCALED: "the same shape in another size as",
  MIRRORED: "the mirror image of",
  SIMILAR: "nearly the same as",
}
_TITLES = {
  IDENTICAL: "Identical",
  SAME: "Same shape",
  SCALED: "Same shape, other size",
  MIRRORED: "Mirror images",
  SIMILAR: "Nearly the same",
}
_SAME_SIZE = 0.01  # relative difference of sizes that is not worth a word


def make_page(
  title: str, groups: Sequence[Group], thumbnails: Mapping[str, bytes]
) -> str:
  """Returns an HTML page that needs no other file.

  Args:
    title: plain text.
    groups: see `duplicate.find_groups`.
    thumbnails: PNG by name of model; the other models have no image.
  """
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__, ""),
    autoescape=True,  # model names are file names, not HTML
    trim_blocks=True,
    lstrip_blocks=True,
  )
  return environment.get_template("duplicates.html").render(
    title=title,
    sections=_split(groups),
    group_count=len(groups),
    model_count=sum(len(group.members) for group in groups),
    images={
      model: base64.b64encode(png).decode() for model, png in thumbnails.items()
    },
    describe=describe,
  )


def _split(groups: Sequence[Group]) -> list[tuple[str, list[Group]]]:
  """Groups by title of their relation, in the order of the first ones."""
  sections: dict[str, list[Group]] = {}
  for group in groups:
    title = _TITLES.get(group.relation, group.relation.capitalize())
    sections.setdefault(title, []).append(group)
  return list(sections.items())


def describe(member: Member) -> str:
  """Describes the relation of a model in a few words."""
  if not member.relation:
    return ""
  phrase = _PHRASES.get(member.relation, f"{member.relation} to")
  words = [f"{phrase} {member.to}"]
  if abs(member.scale - 1) > _SAME_SIZE:
    words.append(f"{member.scale:.4g} times as large")
  if member.mirrored and member.relation != MIRRORED:
    words.append("mirrored")
  if member.distance:
    words.append(f"{100 * member.distance:.2g} % of the radius apart")
  return ", ".join(words)
