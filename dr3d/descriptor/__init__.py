"""Hand-crafted descriptors: baselines for a trained pipeline."""
