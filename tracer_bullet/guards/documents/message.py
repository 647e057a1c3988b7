"""MongoDB's wire messages, as far as a guard must read and write them (OP_MSG)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tracer_bullet.guards.policy import WriteRefused

OP_MSG: Final = 2013
_OP_COMPRESSED: Final = 2012
_OP_QUERY: Final = 2004
_MORE_TO_COME: Final = 1 << 1
_CHECKSUM: Final = 1
_HEADER: Final = struct.Struct("<iiii")
_COMPRESSED: Final = struct.Struct("<iiB")
_MESSAGE_MAX: Final = 48_000_000
_UNREADABLE: Final = "what was to be sent is no command that the guard can read"


@dataclass(frozen=True, slots=True)
class Message:
    """A command about to be sent. `body`: its document, nested documents still as BSON; `sequences`: the lists that
    travel beside it. Nobody waits for a reply when it is `unacknowledged`."""

    request_id: int
    body: Mapping[str, Any]
    sequences: Mapping[str, list[Any]]
    unacknowledged: bool

    @property
    def name(self) -> str:
        """The command's name as it was given."""
        return next(iter(self.body))

    def field(self, name: str) -> Any:
        """A field of the command, wherever it travels; None where there is none."""
        return self.sequences.get(name, self.body.get(name))


def read(data: bytes) -> Message | None:
    """Read what a connection is about to send; None for a driver's first greeting in the old form, which only asks.

    Raises WriteRefused for everything else that is not a command in today's form.
    """
    try:
        _, request_id, _, code = _HEADER.unpack_from(data)
        content = memoryview(data)[_HEADER.size :]
        if code == _OP_COMPRESSED:
            code, content = _decompressed(content)
        if code == OP_MSG:
            return _message(request_id, content)
        if code == _OP_QUERY and _is_greeting(bytes(content)):
            return None
    except (struct.error, ValueError, IndexError, StopIteration):
        pass
    raise WriteRefused("?", _UNREADABLE)


def _decompressed(content: memoryview) -> tuple[int, memoryview]:
    from pymongo import compression_support  # noqa: PLC0415  # only where the service uses it

    decompress: Any = compression_support.decompress
    code, _, compressor = _COMPRESSED.unpack_from(content)
    limit = (_MESSAGE_MAX,) if decompress.__code__.co_argcount > 2 else ()  # older ones take none
    return code, memoryview(decompress(bytes(content[_COMPRESSED.size :]), compressor, *limit))


def _message(request_id: int, content: memoryview) -> Message:
    (flags,) = struct.unpack_from("<I", content)
    end = len(content) - (4 if flags & _CHECKSUM else 0)
    body: Mapping[str, Any] = {}
    sequences: dict[str, list[Any]] = {}
    at = 4
    while at < end:
        kind = content[at]
        (size,) = struct.unpack_from("<i", content, at + 1)
        section = bytes(content[at + 1 : at + 1 + size])
        if kind == 0:
            body = _document(section)
        else:
            stop = section.index(b"\0", 4)
            sequences[section[4:stop].decode()] = _documents(section[stop + 1 :])
        at += 1 + size
    if not body:
        raise ValueError("no body")
    return Message(request_id, body, sequences, bool(flags & _MORE_TO_COME))


def _is_greeting(content: bytes) -> bool:
    stop = content.index(b"\0", 4)
    document = content[stop + 9 :]
    (size,) = struct.unpack_from("<i", document)
    name = next(iter(_document(document[:size])))
    return content[4:stop].endswith(b".$cmd") and name.lower() in ("hello", "ismaster")


def _document(data: bytes) -> Mapping[str, Any]:
    from bson import decode  # noqa: PLC0415
    from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS  # noqa: PLC0415

    return dict(decode(data, DEFAULT_RAW_BSON_OPTIONS))


def _documents(data: bytes) -> list[Any]:
    from bson import decode_all  # noqa: PLC0415
    from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS  # noqa: PLC0415

    return list(decode_all(data, DEFAULT_RAW_BSON_OPTIONS))


def plain(value: Any) -> Any:
    """A nested document as a dictionary, its values as the driver's types."""
    from bson import decode  # noqa: PLC0415
    from bson.codec_options import CodecOptions, DatetimeConversion  # noqa: PLC0415

    raw = getattr(value, "raw", None)
    if raw is None:
        return value
    # Dates that Python has no form for must not stop it.
    return decode(raw, CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO))


def write(message: Message, body: Mapping[str, Any] | None = None) -> bytes:
    """A message's bytes, uncompressed, with another body where one is given."""
    from bson import encode  # noqa: PLC0415

    parts = [struct.pack("<I", _MORE_TO_COME if message.unacknowledged else 0), b"\0"]
    parts.append(encode(message.body if body is None else body))
    for name, documents in message.sequences.items():
        content = name.encode() + b"\0" + b"".join(d.raw for d in documents)
        parts += [b"\1", struct.pack("<i", len(content) + 4), content]
    content = b"".join(parts)
    return _HEADER.pack(_HEADER.size + len(content), message.request_id, 0, OP_MSG) + content


def reply(document: Mapping[str, Any]) -> Any:
    """A server's reply, as the driver's network layer gives it."""
    from bson import encode  # noqa: PLC0415
    from pymongo.message import _OpMsg  # noqa: PLC0415

    return _OpMsg(0, encode(document))
