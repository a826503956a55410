"""The audio that every engine takes: mono float32 samples at 16 kHz. Plain types, no decoder."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE: Final = 16_000
"""Hz; every engine port takes mono float32 samples in -1..1 at this rate."""

Samples = NDArray[np.float32]
"""Shape [n], mono, -1..1, at SAMPLE_RATE."""
