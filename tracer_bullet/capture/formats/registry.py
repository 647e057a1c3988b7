"""The formats of recorded traffic, by key. Detection asks them in this order: specific ones before lenient ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, Final, Protocol

from tracer_bullet.capture.formats.base import Format
from tracer_bullet.capture.formats.collections.curl import Curl
from tracer_bullet.capture.formats.collections.insomnia import Insomnia
from tracer_bullet.capture.formats.collections.postman import Postman
from tracer_bullet.capture.formats.gor.reader import Gor
from tracer_bullet.capture.formats.gor.writer import GorWriter
from tracer_bullet.capture.formats.har.reader import Har
from tracer_bullet.capture.formats.har.writer import HarWriter
from tracer_bullet.capture.formats.logs.apache import Apache
from tracer_bullet.capture.formats.logs.cloudfront import CloudFront
from tracer_bullet.capture.formats.logs.combined import Combined
from tracer_bullet.capture.formats.logs.envoy import Envoy, EnvoyJson
from tracer_bullet.capture.formats.logs.json_logs import JsonAccessLog
from tracer_bullet.capture.formats.logs.load_balancers import ApplicationLoadBalancer, ClassicLoadBalancer
from tracer_bullet.capture.formats.logs.nginx import Nginx
from tracer_bullet.capture.formats.mitmproxy.reader import Mitmproxy
from tracer_bullet.capture.formats.mitmproxy.writer import MitmproxyWriter
from tracer_bullet.capture.formats.otlp.reader import OtlpJson, OtlpProtobuf
from tracer_bullet.capture.formats.tap.reader import TapJson, TapProto
from tracer_bullet.capture.formats.tools.k6 import K6Samples
from tracer_bullet.capture.formats.tools.locust import LocustCsv
from tracer_bullet.capture.formats.tools.speedscale import Speedscale
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses


class Writer(Protocol):
    """A format that is written, too."""

    name: str

    def write(self, exchanges: Iterable[Exchange], stream: BinaryIO, losses: Losses) -> int:
        """Write all; how many were written. What the format cannot hold is counted in `losses`."""
        ...


FORMATS: Final[dict[str, Format]] = {
    "har": Har(),
    "goreplay": Gor(),
    "mitmproxy": Mitmproxy(),
    "envoy-tap": TapJson(),
    "envoy-tap-protobuf": TapProto(),
    "postman": Postman(),
    "insomnia": Insomnia(),
    "curl": Curl(),
    "speedscale": Speedscale(),
    "k6": K6Samples(),
    "locust": LocustCsv(),
    "otlp-json": OtlpJson(),
    "otlp-protobuf": OtlpProtobuf(),
    "envoy": Envoy(),
    "envoy-json": EnvoyJson(),
    "alb": ApplicationLoadBalancer(),
    "elb": ClassicLoadBalancer(),
    "cloudfront": CloudFront(),
    "nginx": Nginx(),
    "apache": Apache(),
    "access-log": Combined(),
    "json-log": JsonAccessLog(),
}

WRITERS: Final[dict[str, Writer]] = {
    "har": HarWriter(),
    "goreplay": GorWriter(),
    "mitmproxy": MitmproxyWriter(),
}
