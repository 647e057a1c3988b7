"""What a count says of a share. Pure."""

from __future__ import annotations

import math
from typing import Final

_Z: Final = 1.959964  # two-sided 95 %


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % score interval of a share (E. B. Wilson, Probable Inference, JASA 22, 1927); (0, 1) of nothing.

    Holds its level for small counts and at the ends, where the normal interval is empty.
    """
    if of <= 0:
        return 0.0, 1.0
    share, z2 = hits / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return (0.0 if hits == 0 else max(middle - half, 0.0)), (1.0 if hits == of else min(middle + half, 1.0))
