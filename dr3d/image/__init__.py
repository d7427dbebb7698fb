"""Photographs: read, cut out, changed and put together. Without jax."""
