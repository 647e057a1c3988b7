"""What can be wrong with an archive: errors end the work, problems are told and worked around."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracer_bullet.errors import TracerBulletError


class ArchiveError(TracerBulletError):
    """An archive cannot be written or read at all: see to the file, then call again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveProblem:
    """Something that was passed over. `lost` counts exchanges; None when nobody can know.

    `torn`: the file ends inside a frame (its writer was killed, or is writing right now). `damaged`: bytes in the
    middle are not what was written. `record`: a line that this version does not understand. `file`: a whole file of a
    folder that cannot be read. `offset` and `length` are bytes.
    """

    kind: Literal["torn", "damaged", "record", "file"]
    path: Path
    offset: int = 0
    length: int = 0
    lost: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        lost = "an unknown number of exchanges" if self.lost is None else f"{self.lost} exchanges"
        match self.kind:
            case "torn":
                text = f"the last {self.length} bytes are a frame that was not finished; {lost} of the end are missing"
            case "damaged":
                text = f"{self.length} bytes are damaged; {lost} lost"
            case "record":
                text = f"a record cannot be read; {lost} lost"
            case "file":
                text = "the file cannot be read"
        return f"{self.path.name} at {self.offset}: {text}{': ' if self.detail else ''}{self.detail}"


def read_failed(path: Path, error: OSError) -> ArchiveError:
    """The error for a file that the disk does not give."""
    return ArchiveError("TB924", "the archive cannot be read", where=str(path), why=error.strerror or str(error))


def write_failed(path: Path, error: OSError, unsaved: int) -> ArchiveError:
    """The error for a file that the disk does not take. `unsaved`: exchanges that wait to be written."""
    return ArchiveError(
        "TB923",
        f"the archive cannot be written; {unsaved} exchanges are not in it",
        where=str(path),
        why=error.strerror or str(error),
        cure="make room, or write elsewhere; what was written before is whole and can be appended to",
    )
