"""Groups of duplicates as one HTML page that holds its images."""

import base64
import html
from collections.abc import Mapping, Sequence

from dr3d.database.duplicate import Group, Member
from dr3d.registration.relation import (
  IDENTICAL,
  MIRRORED,
  SAME,
  SCALED,
  SIMILAR,
)

_WORDS = {
  IDENTICAL: "identical to",
  SAME: "the same as",
  SCALED: "scaled from",
  MIRRORED: "the mirror image of",
  SIMILAR: "similar to",
}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem;
  max-width: 68rem; color: #20262e; background: #edf0f4 }
section { background: #fff; border: 1px solid #d6dbe2; border-radius: 6px;
  margin: 1rem 0; padding: 0.5rem 1rem 1rem }
ul { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0 }
li { width: 10rem; overflow-wrap: anywhere; font-size: 0.85rem }
img { display: block; width: 96px; height: 96px }
.faint { color: #656f7c }
"""


def make_page(
  title: str, groups: Sequence[Group], thumbnails: Mapping[str, bytes]
) -> str:
  """Returns a page that needs no other file.

  Args:
    title: plain text.
    groups: see `duplicate.find_groups`.
    thumbnails: PNG by name of model; the other models have no image.
  """
  parts = [
    "<!doctype html>",
    '<html lang="en"><meta charset="utf-8">',
    f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
    f"<h1>{html.escape(title)}</h1>",
    f'<p class="faint">{len(groups)} groups,'
    f" {sum(len(group.members) for group in groups)} models."
    " Nothing was changed: look at each pair before you delete a file.</p>",
  ]
  for number, group in enumerate(groups, start=1):
    parts.append(f"<section><h2>{number}. {group.relation}</h2><ul>")
    parts += [_item(member, thumbnails) for member in group.members]
    parts.append("</ul></section>")
  return "\n".join([*parts, "</html>", ""])


def describe(member: Member) -> str:
  """Describes the relation of a model in a few words."""
  if not member.relation:
    return ""
  words = [f"{_WORDS[member.relation]} {member.to}"]
  if abs(member.scale - 1) > 0.01:
    words.append(f"{member.scale:.4g} times as large")
  if member.mirrored and member.relation != MIRRORED:
    words.append("mirrored")
  if member.distance:
    words.append(f"distance {member.distance:.4f}")
  return ", ".join(words)


def _item(member: Member, thumbnails: Mapping[str, bytes]) -> str:
  picture = ""
  if member.model in thumbnails:
    data = base64.b64encode(thumbnails[member.model]).decode()
    picture = f'<img alt="" src="data:image/png;base64,{data}">'
  return (
    f"<li>{picture}{html.escape(member.model)}"
    f'<br><span class="faint">{html.escape(describe(member))}</span></li>'
  )
