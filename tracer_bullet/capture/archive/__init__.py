"""The archive: recorded exchanges in a file that survives its writer. docs/archive.md is the format.

Posture: what is whole is read, what is not is told with its place and its number; nothing damaged is ever taken for
what was recorded.
"""

from tracer_bullet.capture.archive.errors import ArchiveError, ArchiveProblem
from tracer_bullet.capture.archive.reader import SUFFIX, Archive, ArchiveInfo, open_archive
from tracer_bullet.capture.archive.writer import ArchiveWriter

__all__ = ["SUFFIX", "Archive", "ArchiveError", "ArchiveInfo", "ArchiveProblem", "ArchiveWriter", "open_archive"]
