"""Descriptors that learn nothing: what a trained pipeline has to beat."""
