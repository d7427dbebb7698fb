"""System A: renderer G and encoder T, their losses and their training."""
