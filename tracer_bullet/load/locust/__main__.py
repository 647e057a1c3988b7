"""What the conductor starts; see master."""

from __future__ import annotations

import sys

from tracer_bullet.load.locust.master import main

main(int(sys.argv[1]), sys.argv[2])
