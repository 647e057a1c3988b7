"""A server that notes when each request arrives, for the punctuality of generators: one process, uvloop, no parsing.

Prints its port; after its standard input ends, writes the arrival times (`time.monotonic_ns`, native int64) to its
standard output. It cares for requests without bodies alone.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Watch(asyncio.Protocol):
    times: array[int] = array("q")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self.rest + data
        count = data.count(b"\r\n\r\n")
        self.rest = data[data.rfind(b"\r\n\r\n") + 4 :] if count else data
        for _ in range(count):
            self.times.append(now)
        self.transport.write(_ANSWER * count)  # type: ignore[attr-defined]


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Watch, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
    sys.stdout.buffer.write(Watch.times.tobytes())
