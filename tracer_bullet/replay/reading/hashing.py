"""Which sessions a share or a shard has: the same ones each time, on every machine."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_WHOLE: Final = float(1 << 64)


def number_of(text: str, purpose: bytes) -> int:
    """64 bits of a text; of different purposes (at most 16 bytes) independent of one another."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=purpose)
    return int.from_bytes(digest.digest(), "little")


def in_share(text: str, share: float) -> bool:
    """Whether a text is in a share from 0 to 1. What is in a share is in every greater one too."""
    return share >= 1 or number_of(text, b"tb-share") / _WHOLE < share


def shard_of(text: str, count: int) -> int:
    """Which of `count` shards a text belongs to; with one shard more, only its own share of the texts moves.

    Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", https://arxiv.org/abs/1406.2294.
    """
    key = number_of(text, b"tb-shard")
    found, jump = -1, 0
    while jump < count:
        found = jump
        key = (key * 2862933555777941757 + 1) & 0xFFFF_FFFF_FFFF_FFFF
        jump = int((found + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return found
