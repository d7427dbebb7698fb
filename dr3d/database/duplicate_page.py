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
from dr3d.runtime.text import count

HEADINGS = {
  IDENTICAL: "Identical: the same triangles at the same size",
  SAME: "The same shape and size in another mesh, format or pose",
  SCALED: "The same shape at other sizes",
  MIRRORED: "Mirror images",
  SIMILAR: "Similar shapes",
}
"""Of the groups of each relation."""

_PHRASES = {
  IDENTICAL: "identical to",
  SAME: "the same shape as",
  SCALED: "the same shape in another size as",
  MIRRORED: "the mirror image of",
  SIMILAR: "nearly the same as",
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
  names = {member.model for group in groups for member in group.members}
  return environment.get_template("duplicates.html").render(
    title=title,
    groups=groups,
    headings=HEADINGS,
    group_count=count(len(groups), "group"),
    model_count=count(len(names), "model"),
    images={
      model: base64.b64encode(png).decode() for model, png in thumbnails.items()
    },
    describe=describe,
  )


def describe(member: Member) -> str:
  """Describes the relation of a model in a few words."""
  if not member.relation:
    return ""
  phrase = _PHRASES.get(member.relation, f"{member.relation} to")
  words = [f"{phrase} {member.to}"]
  if abs(member.scale - 1) > _SAME_SIZE:
    words.append(f"{member.scale:.4g} times its size")
  if member.mirrored and member.relation != MIRRORED:
    words.append("mirrored")
  if member.distance:
    words.append(f"{100 * member.distance:.2g} % of the radius apart")
  return ", ".join(words)
