"""`python -m tracer_bullet`."""

from tracer_bullet.cli import main

main()
