"""Relations between two models: names and thresholds.

A module without imports, so that the command's help, which lists them, is fast.
"""

IDENTICAL = "identical"
SAME = "same"
SCALED = "scaled"
MIRRORED = "mirrored"
SIMILAR = "similar"
RELATIONS = (IDENTICAL, SAME, SCALED, MIRRORED, SIMILAR)
"""From the strongest to the weakest; `dr3d.database.duplicate` defines them."""

NEAR = 0.005
"""Mean distance up to which surfaces are the same, radii of the sphere."""

FAR = 0.025
"""The same for the 95th percentile of the distances."""

VERIFIED_COUNT = 10
"""Matches that are registered to a query."""
