"""The training loop that every system shares; no model in it.

A system hands `loop.run_steps` an initial state, a step function and a source
of batches. The loop does the rest: checkpoints, resuming, log, progress bar,
devices, and the stop at a number that is not finite.
"""
