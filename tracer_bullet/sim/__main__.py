"""The child process of `Simulation(mode="processes")`; people use the command line's `sim`."""

import os
import sys

from tracer_bullet.sim.process import child_main

status = child_main()
sys.stderr.flush()
# Everything is closed by now; taking the interpreter down object by object would cost a second.
os._exit(status)
