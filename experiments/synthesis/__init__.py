"""Random solids in families: the training set of the general pipeline.

`family.make_solid(family, member)` makes a triangle mesh. All members of a
family are built by the same steps from slightly different dimensions, as the
sizes of a standard part are. Two families differ in the steps.
"""
