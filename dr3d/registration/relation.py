"""How two models may be related: names and measures.

Of its own, so that the help of the command, which tells them, loads no more.
"""

IDENTICAL = "identical"
SAME = "same"
SCALED = "scaled"
MIRRORED = "mirrored"
SIMILAR = "similar"
RELATIONS = (IDENTICAL, SAME, SCALED, MIRRORED, SIMILAR)
"""From the strongest to the weakest; `dr3d.database.duplicate` says what is."""

NEAR = 0.005
"""Mean distance up to which surfaces are one, radii of the sphere."""

FAR = 0.025
"""The same for the distance that one point in twenty exceeds."""

VERIFIED_COUNT = 10
"""Matches that are laid upon a query."""
