"""What a recording is, by its content and never by its name; what it is not, in words that help.

A folder is one recording: its files one after the other, in the natural order of their names, or (taps) of their age.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.base import HEAD_BYTES, Format
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.capture.formats.shared.streams import CHUNK, RecordingStream, buffered, expanded, problem_of
from tracer_bullet.errors import UsageError

_KNOWN: Final = "known are {names}; a format is recognised by what a file holds, also in gzip and zstd"

# What people have beside a recording, and what they need instead: (looks like this, is this, do this).
_NEAR: Final = (
    (rb"(\xd4\xc3\xb2\xa1|\xa1\xb2\xc3\xd4|\x0a\x0d\x0d\x0a|\x4d\x3c\xb2\xa1)", "a packet capture",
     "GoReplay can read it: --input-raw capture.pcap:80 --input-raw-engine pcap_file --output-file x.gor"),
    (rb"\s*(import|from) \S+.*\n(.*\n){0,40}.*(HttpUser|FastHttpUser|locust)", "a Locust script",
     "scripts are code; import the HAR that it was made of"),
    (rb"\s*import \{?.*from ['\"]k6", "a k6 script", "scripts are code; import the HAR that it was made of"),
    (rb"PK\x03\x04", "a ZIP archive", "unpack it; Fiddler and Charles export HAR"),
    (rb"<!DOCTYPE|<html", "a web page", "export the recording itself, as HAR for example"),
    (rb"SQLite format 3", "an SQLite database", "export the recording as HAR"),
)  # fmt: skip


def open_recording(source: Path | str | BinaryIO) -> tuple[Format, BinaryIO]:
    """The format of a file, folder or stream, and its content from the first byte: decompressed, without BOM.

    Raises UsageError: TB910 when nothing fits, TB911 when it is empty, TB912 when it cannot be read.
    Close the stream; that closes the file, but not a stream that was given.
    """
    if isinstance(source, Path | str):
        path = Path(source)
        return _open_folder(path) if path.is_dir() else _open(_opened(path), str(path), owned=True)
    return _open(source, str(getattr(source, "name", "")), owned=False)


def recognise(head: bytes) -> Format | None:
    """The first format that knows a recording by its first bytes."""
    return next((f for f in FORMATS.values() if f.recognises(head)), None)


def format_named(key: str) -> Format:
    """The format of a key of `FORMATS`. Raises UsageError TB913, with the closest one."""
    if key in FORMATS:
        return FORMATS[key]
    close = difflib.get_close_matches(key, FORMATS, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UsageError("TB913", f"no format is called {key!r}", cure=f"{hint}there are {', '.join(FORMATS)}")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(
            "TB912", "the recording cannot be read", where=str(path), why=error.strerror or str(error)
        ) from error


def _open(source: BinaryIO, name: str, *, owned: bool) -> tuple[Format, BinaryIO]:
    try:
        head, stream = expanded(source, owned=owned)
        if (found := recognise(head[:HEAD_BYTES])) is not None:
            return found, stream
    except OSError as error:
        if owned:
            source.close()
        raise UsageError("TB912", "the recording cannot be read", where=name, why=str(error)) from error
    stream.close()
    raise _unknown(head, name)


def _unknown(head: bytes, name: str) -> UsageError:
    if not head.strip():
        return UsageError("TB911", "the recording is empty", where=name, cure="check that something was captured")
    known = _KNOWN.format(names=", ".join(sorted({f.name for f in FORMATS.values()})))
    for pattern, what, cure in _NEAR:
        if re.match(pattern, head[:HEAD_BYTES]):
            return UsageError("TB910", f"this is {what}, which is no recording", where=name, why=known, cure=cure)
    shown = head[:60].split(b"\n")[0].decode("utf-8", "backslashreplace")
    return UsageError(
        "TB910",
        "this is in no known format of recorded traffic",
        where=name,
        why=f"it begins with {shown!r}; {known}",
        cure=_guess(head),
    )


def _guess(head: bytes) -> str:
    text = head.lstrip()
    if text[:1] in (b"{", b"["):
        return "it is JSON: export HAR, Envoy tap or OTLP JSON; or describe the log with --log-format"
    if re.match(rb"\S+ \S+ \S+", text) and b"\0" not in text[:200]:
        return "if it is a log, give its format as the server's configuration has it: --log-format"
    return "export it as HAR, which every browser and proxy can write"


def _open_folder(folder: Path) -> tuple[Format, BinaryIO]:
    """The files of a folder as one stream, in the format of the first that is known; others are passed over."""
    files = sorted((p for p in folder.iterdir() if p.is_file() and p.name[0] != "."), key=_natural)
    found: Format | None = None
    for path in files:
        source = _opened(path)
        head, stream = expanded(source, owned=True)
        stream.close()
        if (found := recognise(head[:HEAD_BYTES])) is not None:
            break
    if found is None:
        if not files:
            raise UsageError("TB911", "the recording is empty", where=str(folder), why="the folder has no files")
        raise UsageError(
            "TB910",
            "no file of the folder is in a known format of recorded traffic",
            where=str(folder),
            why=_KNOWN.format(names=", ".join(sorted({f.name for f in FORMATS.values()}))),
        )
    if getattr(found, "one_a_file", False):  # their names are random; when they were written is all there is
        files.sort(key=lambda path: path.stat().st_mtime_ns)
    problems: list[str] = []
    return found, buffered(RecordingStream(_joined(files, found, problems), problems))


def _joined(files: list[Path], wanted: Format, problems: list[str]) -> Iterator[bytes]:
    glue: bytes = getattr(wanted, "glue", b"\n")
    framed = getattr(wanted, "framed", None)
    for path in files:
        head, stream = expanded(_opened(path), owned=True)
        with stream:
            if not head:
                continue
            if recognise(head[:HEAD_BYTES]) is not wanted:
                problems.append(f"{path.name} is no {wanted.name}: passed over")
                continue
            if framed is not None:
                yield from framed(head, stream)
            else:
                while chunk := stream.read(CHUNK):
                    yield chunk
                yield glue
            problems += [f"{path.name}: {p}" for p in [problem_of(stream)] if p]


def _natural(path: Path) -> list[tuple[int, str]]:
    """`x_9` before `x_10`."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d{1,18})", path.name)]
