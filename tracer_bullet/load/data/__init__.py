"""Feeds: files, strategies and documents → rows, each a map from a scenario's variables to values.

Reads files, and runs the code of strategies. Posture: a row that is wrong is an error before anything is sent.
"""

from tracer_bullet.load.data.rows import make_rows

__all__ = ["make_rows"]
