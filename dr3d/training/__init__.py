"""How G and T learn: losses, augmentation, one jitted step, checkpoints."""
