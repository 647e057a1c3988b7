"""Random numbers that are functions of a seed and a number: whoever asks gets the same, in any order. Pure."""

from __future__ import annotations

from typing import Final

_WORD: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15


def word(seed: int, stream: int, number: int) -> int:
    """64 random bits for `number`. Streams of one seed are independent of each other.

    SplitMix64 (G. Steele, D. Lea, C. Flood, Fast Splittable Pseudorandom Number Generators, 2014) by its counter.
    """
    return _mixed(_mixed(seed & _WORD) + stream * 0xD1342543DE82EF95 + number * _GOLDEN)


def chance(seed: int, stream: int, number: int) -> float:
    """The same as a number from 0 to below 1."""
    return (word(seed, stream, number) >> 11) * 2.0**-53


def _mixed(value: int) -> int:
    value = (value + _GOLDEN) & _WORD
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
    return value ^ (value >> 31)
