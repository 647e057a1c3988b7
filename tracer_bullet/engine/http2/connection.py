"""One HTTP/2 connection: many shots at once, each on its stream. h2 does the protocol, this does the bytes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, Protocol, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hpack import Encoder

from tracer_bullet.engine import client as codes
from tracer_bullet.engine.client import Shot, now_ns
from tracer_bullet.engine.http2.dialect import Dialect
from tracer_bullet.engine.http2.frames import GOAWAY, HEADER_BYTES, Frame, FrameCutter, FrameError, read_goaway
from tracer_bullet.engine.http2.stream import Stream
from tracer_bullet.engine.patience import Patience
from tracer_bullet.engine.settings import EngineSettings

_CONFIG: Final = H2Configuration(
    client_side=True,
    # Ours are made right; theirs are judged by stream, where h2 would end the whole connection.
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)
# What a peer may send before it hears of us again: of one answer, and of all.
_STREAM_WINDOW: Final = 1 << 20
_WINDOW: Final = 1 << 24
# Until the peer has said how many it takes (RFC 9113, section 6.5.2, recommends to allow no fewer).
FIRST_STREAMS: Final = 100
_LAST_STREAM_ID: Final = 2**31 - 1_000
# After so many bytes the system is asked whether it takes more.
_FLUSH_BYTES: Final = 65_536


class Owner(Protocol):
    """The pool, as a connection sees it."""

    settings: EngineSettings
    patience: Patience
    dialect: Dialect
    scheme: bytes
    authority: bytes
    buffer: memoryview
    """One for all connections: a read is cut into frames before the next one begins."""
    streams: int
    """How many at once a peer there was last known to take."""

    def ended(self, shot: Shot) -> None:
        """The shot is over."""

    def unprocessed(self, shot: Shot) -> None:
        """The peer has said, or the system has shown, that it did nothing with this request."""

    def room(self) -> None:
        """A stream may have become free somewhere."""

    def gone(self, connection: Connection) -> None:
        """The connection was closed, by whomever."""


class Connection(asyncio.BufferedProtocol):
    """`draining`: it takes no more requests, and closes with its last answer."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._h2 = H2Connection(_CONFIG)
        self._h2.encoder = _PlainEncoder()
        self._cutter = FrameCutter()
        self._streams: dict[int, Stream] = {}
        self._allowed = owner.streams
        self._blocked = False
        self._read_ns = 0
        self.draining = False
        self.transport: asyncio.Transport

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the preface; requests may follow at once."""
        self.transport = cast("asyncio.Transport", transport)
        # Told as soon as anything is left to write: no request is to wait behind what the peer does not read. Not 0,
        # at which TLS transports pause with nothing left at all.
        self.transport.set_write_buffer_limits(high=1)
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                # Longer than we accept, since h2 ends the connection there; each answer is judged on its own.
                SettingCodes.MAX_HEADER_LIST_SIZE: 4 * self._owner.settings.head_bytes + _FLUSH_BYTES,
            },
        )
        self._h2.decoder.max_header_list_size = self._h2.local_settings.max_header_list_size or 0
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._flush()

    def pause_writing(self) -> None:
        """The system takes no more for now."""
        self._blocked = True

    def resume_writing(self) -> None:
        """It does again."""
        self._blocked = False
        self._pump_all()
        self._owner.room()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  (the protocol's signature)
        """Where to read to."""
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        self._read_ns = now_ns()
        try:
            for frame in self._cutter.cut(bytes(self._owner.buffer[:nbytes])):
                if self.transport.is_closing():
                    return
                self._frame(frame)
        except FrameError:
            self._break(0)
            return
        self._flush()
        self._close_when_drained()
        self._owner.room()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's signature)
        """The connection is closed: no answer comes any more, and what became of the requests is not known."""
        self.draining = True
        streams, self._streams = self._streams, {}
        self._owner.gone(self)
        for stream in streams.values():
            if stream.unwritten:
                stream.shot.sent_ns = stream.shot.request_bytes = 0
                self._owner.unprocessed(stream.shot)
            else:
                self._end(stream, codes.RESET, now_ns())

    # The pool's side.

    @property
    def has_room(self) -> bool:
        """Whether a request could go now."""
        return (
            not self.draining
            and not self._blocked
            and len(self._streams) < self._allowed
            and not self.transport.is_closing()
        )

    def start(self, shot: Shot) -> None:
        """Write the shot's request, as far as the peer's windows allow. Raises ValueError when its head is none."""
        owner = self._owner
        fields = owner.dialect.fields(shot.head, shot.carriers, owner.scheme, owner.authority)
        before = self._h2.data_to_send()  # credit for other streams, if anything
        number = self._h2.get_next_available_stream_id()
        self.draining = number >= _LAST_STREAM_ID
        self._h2.send_headers(number, fields, end_stream=not shot.body)
        # h2 would end the connection for one answer whose length is wrong, and for any 304 that tells a length.
        self._h2.streams[number]._initialize_content_length = _nothing  # type: ignore[method-assign]
        stream = self._streams[number] = Stream(number, shot, owner.settings.keep_bytes)
        data = self._h2.data_to_send()
        shot.request_bytes += len(data)
        now = now_ns()
        if not shot.sent_ns:
            shot.sent_ns = now
        if shot.body:
            # The first piece goes with the head, in one write.
            data += self._piece(stream)
        else:
            stream.written_ns = now
        self.transport.write(before + data)
        if self.transport.is_closing():
            # The first write failed at once: the peer had closed before, and the system took nothing of it.
            stream.unwritten = True
        elif stream.unsent:
            self._pump(stream)

    def sweep(self, now: int) -> None:
        """End the shots that have passed a time-out."""
        for stream in list(self._streams.values()):
            error = stream.late(now, self._owner.settings, self._owner.patience)
            if error:
                # Nothing at all since it was sent: the connection may be dead, and gets no more requests.
                self.draining = self.draining or self._read_ns < stream.shot.sent_ns
                self._give_up(stream, error)
        self._flush()
        self._close_when_drained()

    def take_back(self) -> list[Shot]:
        """Close at once; the shots under way, of which nobody is told."""
        shots = [stream.shot for stream in self._streams.values()]
        self._streams.clear()
        self.draining = True
        self.transport.abort()
        return shots

    # Reading.

    def _frame(self, frame: Frame) -> None:
        if frame.kind == GOAWAY:
            self._going_away(read_goaway(frame).last_stream_id)
            return
        stream = self._streams.get(frame.stream_id)
        if stream is not None:
            stream.shot.answer_bytes += len(frame.raw)
        try:
            for event in self._h2.receive_data(frame.raw):
                self._event(event)
        except H2Error:
            self._break(frame.stream_id)

    def _event(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self._allowed = min(self._h2.remote_settings.max_concurrent_streams, _LAST_STREAM_ID)
            self._owner.streams = max(1, min(self._allowed, FIRST_STREAMS))
            self._pump_all()  # the windows may have grown
            return
        if isinstance(event, WindowUpdated) and not event.stream_id:
            self._pump_all()
            return
        number = getattr(event, "stream_id", None)
        stream = self._streams.get(number) if number else None
        if isinstance(event, DataReceived) and event.flow_controlled_length and number:
            self._h2.acknowledge_received_data(event.flow_controlled_length, number)
        if stream is not None:
            self._stream_event(stream, event)

    def _stream_event(self, stream: Stream, event: Event) -> None:
        error = 0
        if isinstance(event, ResponseReceived):
            error = stream.headed(cast("Any", event.headers), self._read_ns, self._owner.settings)
        elif isinstance(event, DataReceived):
            stream.data(event.data or b"")
        elif isinstance(event, TrailersReceived):
            error = stream.trailed(cast("Any", event.headers), self._owner.settings)
        elif isinstance(event, StreamEnded):
            self._whole(stream)
        elif isinstance(event, StreamReset):
            self._was_reset(stream, event.error_code)
        elif isinstance(event, WindowUpdated):
            self._pump(stream)
        if error:
            self._give_up(stream, error)

    def _whole(self, stream: Stream) -> None:
        if not stream.well_formed:
            self._give_up(stream, codes.PROTOCOL)
            return
        if stream.unsent:  # an early answer: the peer does not want the rest
            self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)
        shot = stream.shot
        shot.status, error = self._owner.dialect.outcome(*stream.head)
        shot.answer = None if error else stream.answer()
        del self._streams[stream.number]
        self._end(stream, error, self._read_ns)

    def _was_reset(self, stream: Stream, code: int | None) -> None:
        del self._streams[stream.number]
        # RFC 9113, section 8.7: refused means that nothing was done with it.
        if code == ErrorCodes.REFUSED_STREAM and not stream.shot.first_ns:
            self._owner.unprocessed(stream.shot)
        else:
            self._end(stream, codes.RESET, self._read_ns)

    def _going_away(self, last_stream_id: int) -> None:
        self.draining = True
        for number in [n for n in self._streams if n > last_stream_id]:
            self._owner.unprocessed(self._streams.pop(number).shot)

    def _break(self, guilty: int) -> None:
        """The peer has broken the protocol: the shot of that stream has no answer, the others were cut off."""
        stream = self._streams.pop(guilty, None)
        if stream is not None:
            self._end(stream, codes.PROTOCOL, self._read_ns)
        if not guilty:  # it concerns all of them
            streams, self._streams = self._streams, {}
            for each in streams.values():
                self._end(each, codes.PROTOCOL, self._read_ns)
        self.draining = True
        self._flush()  # h2 says why
        self.transport.abort()

    # Writing.

    def _piece(self, stream: Stream) -> bytes:
        """As much of the body as may go and is worth one write; b"" when the windows are shut."""
        sent = 0
        while stream.unsent and sent < _FLUSH_BYTES:
            window = self._h2.local_flow_control_window(stream.number)
            length = min(window, self._h2.max_outbound_frame_size, len(stream.unsent))
            if length <= 0:
                break
            last = length == len(stream.unsent)
            self._h2.send_data(stream.number, bytes(stream.unsent[:length]), end_stream=last)
            stream.unsent = stream.unsent[length:]
            sent += length + HEADER_BYTES
        stream.shot.request_bytes += sent
        if not stream.unsent:
            stream.written_ns = now_ns()
        return self._h2.data_to_send()

    def _pump(self, stream: Stream) -> None:
        """Write of the body what the windows and the system allow."""
        while stream.unsent and not self._blocked and not self.transport.is_closing():
            data = self._piece(stream)
            if not data:
                return
            self.transport.write(data)

    def _pump_all(self) -> None:
        for stream in list(self._streams.values()):
            if stream.unsent:
                self._pump(stream)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    # Ending.

    def _give_up(self, stream: Stream, error: int) -> None:
        if self._streams.pop(stream.number, None) is None:
            return
        with contextlib.suppress(H2Error):  # it may be closed already, by the very frame that gave it up
            self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)
        self._end(stream, error, now_ns())

    def _end(self, stream: Stream, error: int, now: int) -> None:
        stream.shot.error = error
        stream.shot.ended_ns = now
        self._owner.ended(stream.shot)

    def _close_when_drained(self) -> None:
        if self.draining and not self._streams and not self.transport.is_closing():
            # Not `close`, with which TLS may wait half a minute for the peer's farewell.
            self.transport.abort()


class _PlainEncoder(Encoder):
    """Without Huffman coding, which saves a fifth of the bytes and, in Python, costs 17 ms for a cookie of 8 kB."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:  # noqa: ARG002
        """As in Encoder; `huffman` is not heeded."""
        return super().encode(headers, huffman=False)


def _nothing(headers: object) -> None:
    del headers
