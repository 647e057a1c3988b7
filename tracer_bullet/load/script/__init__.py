"""A scenario's steps → arrivals: rendered once with marks, then joined for each iteration. Pure.

What is sent is what `fire` sends, byte for byte, but for the carriers and cookies, which the engine adds.
Posture: what the engine cannot do as `fire` does is refused before anything is sent.
"""

from tracer_bullet.load.script.compile import compile_script
from tracer_bullet.load.script.rows import sendable_rows
from tracer_bullet.load.script.script import RowError, Script

__all__ = ["RowError", "Script", "compile_script", "sendable_rows"]
