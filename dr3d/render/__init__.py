"""Views to RGBA images: triangles, shading, layers and the soft rasterizer."""
