"""Recovers pose, light and shape from images, by descent through G."""
