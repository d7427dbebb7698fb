"""System C: radiance fields of a kind of things, learned from single pictures.

A field is one network for all objects of a kind and one latent code for each.
It learns from pictures in which every object was seen once, and shows an object
from the other sides. Read `config` (sizes and options), `picture` (what it
learns from), `loss`, `train`, `field` (the product), `fit` (a new picture),
`latent` (samples) and `surface` (meshes, and the `Renderer` of a code).

`K` pictures, `O` objects, `Z` latent size, `P` pixels of a picture in a step,
`S` samples of a ray, `H W` pixels, `G` cells of a grid along each axis.

References:
  WO 2023/080921, single-image radiance fields of a class (LOLNeRF).
"""
