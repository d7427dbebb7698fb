"""How two models may be related: names and measures.

A module of its own, so that the help of a command that names the relations
imports nothing else.
"""

from typing import Literal, get_args

Relation = Literal["identical", "same", "scaled", "mirrored", "similar"]
Related = Relation | Literal[""]
"""A relation, or none."""

IDENTICAL: Relation = "identical"
SAME: Relation = "same"
SCALED: Relation = "scaled"
MIRRORED: Relation = "mirrored"
SIMILAR: Relation = "similar"
RELATIONS: tuple[Relation, ...] = get_args(Relation)
"""From the strongest to the weakest; `database.duplicate` defines them."""

NEAR = 0.005
"""Mean distance up to which two surfaces are one, radii of the sphere."""

FAR = 0.025
"""The same for the distance that one point in twenty exceeds."""

VERIFIED_COUNT = 10
"""Candidates that are registered to a query: .026 s of CPU time each."""
