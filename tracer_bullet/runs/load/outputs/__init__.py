"""What a load run gives to other programs: files in its folder, and, while it lasts, a page and metrics."""

from tracer_bullet.runs.load.outputs.files import write_load_outputs
from tracer_bullet.runs.load.outputs.watching import Watch, WatchOptions, watch

__all__ = ["Watch", "WatchOptions", "watch", "write_load_outputs"]
