"""A throw-away SMTP server: aiosmtpd on an event loop of its own, a free port of 127.0.0.1."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP

from tests.servers.loops import end_loop

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Mail:
    """One message as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def text(self) -> str:
        """What comes after the headers, without the line end."""
        return self.content.partition(b"\r\n\r\n")[2].decode().rstrip("\r\n")


class MailServer:
    """Keeps what it is sent. Recipients `refused@…` are refused. A context manager: inside, it accepts connections.

    `commands`: MAIL, RCPT and DATA as they came.
    """

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[Mail] = []
        self.commands: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_TIMEOUT_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    async def _start(self) -> None:
        self._server = await self._loop.create_server(self._session, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def _session(self) -> asyncio.Protocol:
        return SMTP(self, hostname="mail.test", loop=self._loop)

    def _end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_TIMEOUT_S)
        end_loop(self._loop, self._thread)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        """Begin a message."""
        self.commands.append("MAIL")
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        """Refuse some, take the rest."""
        self.commands.append("RCPT")
        if address.startswith("refused@"):
            return "550 User unknown"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep a message."""
        self.commands.append("DATA")
        self.mails.append(Mail(envelope.mail_from, tuple(envelope.rcpt_tos), bytes(envelope.content)))
        return "250 Message accepted"
