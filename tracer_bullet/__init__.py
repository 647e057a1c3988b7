"""Tracer Bullet: test, load, replay against and break production without harming it.

The package root imports nothing, so that a service pays only for what it uses:
`tracer_bullet.context` and `tracer_bullet.guards` run inside services, everything
else runs in the harness. ARCHITECTURE.md has the floors.
"""

__version__ = "0.1.0"
