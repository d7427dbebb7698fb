"""Registration of a mesh to others, by surface points or rendered images."""
