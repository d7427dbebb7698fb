"""Models that can be searched, in a directory: reading, writing, ingesting."""
