"""What every reader of recorded traffic is: a format that recognises its bytes, and a stream of exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal, Protocol

from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

HEAD_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the user says where a source is silent. `log_format`: as written in the server's configuration (nginx's
    `log_format`, Apache's `LogFormat`, Envoy's format string); `log_time`: what a log's time field means."""

    scheme: str = "http"
    authority: str = ""
    log_format: str = ""
    log_time: Literal["start", "end", ""] = ""


class Format(Protocol):
    """One way to write recorded traffic. tests/unit/capture/formats holds the contract."""

    name: str
    """As people call it: `HAR`, `GoReplay`."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so (up to HEAD_BYTES, decompressed) is in this format. Never raises."""
        ...

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """The exchanges, in the order of the source, in bounded memory. What is bad is counted in `losses` and passed
        over; nothing inside the data raises. `id` and `session` may be empty: the import fills them.

        `session` is a raw key (`client:203.0.113.9`): the import makes a pseudonym of it before anything is written.
        Options that cannot be (UsageError) raise here, before the first exchange is asked for."""
        ...
