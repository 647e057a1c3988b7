"""AWS on this machine: moto's server, in a thread of this process, on a free port of 127.0.0.1."""

from __future__ import annotations

import io
import urllib.request
import zipfile
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

REGION = "us-east-1"


class AwsServer:
    """S3, SQS, SNS, SES, DynamoDB, Lambda and others. A context manager: inside, it accepts requests at `url`."""

    def __init__(self) -> None:
        self.url = ""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._clients: list[Any] = []  # urllib3 1.26 leaves the sockets of a forgotten client open

    def __enter__(self) -> Self:
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_clients()
        self._server.stop()

    def client(self, service: str, **settings: Any) -> Any:
        """A real boto3 client for a service here."""
        found = self._session().client(service, endpoint_url=self.url, config=Config(**settings))
        self._clients.append(found)
        return found

    def resource(self, service: str) -> Any:
        """A real boto3 resource for a service here."""
        found = self._session().resource(service, endpoint_url=self.url)
        self._clients.append(found.meta.client)
        return found

    def _session(self) -> boto3.Session:
        return boto3.Session(aws_access_key_id="tests", aws_secret_access_key="tests", region_name=REGION)

    def close_clients(self) -> None:
        """Close the connections of all clients that were made here."""
        while self._clients:
            self._clients.pop().close()

    def reset(self) -> None:
        """Forget all."""
        self.close_clients()
        request = urllib.request.Request(self.url + "/moto-api/reset", method="POST")
        with urllib.request.urlopen(request, timeout=60):
            pass


def lambda_archive() -> bytes:
    """The code of a function, zipped."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("code.py", "def handle(event, context):\n    return event\n")
    return buffer.getvalue()
