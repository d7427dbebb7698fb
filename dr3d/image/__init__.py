"""Photographs, masks, backgrounds and video: pixels on the host, without jax.

`H W` pixels, `T` frames. An image is float32 `[H, W, 3]`: red, green and blue
in [0, 1]. A mask is float32 `[H, W]` in [0, 1], 1 on the object. What comes
from a file or goes to one is uint8.
"""
