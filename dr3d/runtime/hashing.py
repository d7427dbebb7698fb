"""Constants of the hashes that name vectors, models and triangles."""

import numpy as np

MIX = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, odd: spreads consecutive numbers over 64 bits.

Knuth, The Art of Computer Programming 3, 6.4. Stored keys depend on it.
"""
