"""Random solids with families: what a general pipeline is trained on.

`family.make_solid(family, member)` gives a triangle mesh. All members of a
family are built by the same steps from dimensions that differ a little, as the
sizes of a standard part do; two families differ in the steps.
"""
