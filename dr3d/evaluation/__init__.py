"""Measures the quality of answers, by protocols and against baselines."""
