"""Pose, light and shape from images, by descent through the renderer."""
