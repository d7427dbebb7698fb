"""The encoder T and the whitening of its vectors."""
