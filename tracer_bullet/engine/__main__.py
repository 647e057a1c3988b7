"""`python -m tracer_bullet.engine COMMANDS_FD RESULTS_FD`: what EngineProcess starts."""

from __future__ import annotations

import sys

from tracer_bullet.engine.child import main

main(int(sys.argv[1]), int(sys.argv[2]))
