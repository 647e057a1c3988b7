"""What all clients of the engine share, against the real nginx: HTTP/1.1 and HTTP/2, in plaintext and over TLS."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509

from tests.servers.certificates import Authority
from tests.servers.nginx import NginxServer, NginxUnavailableError
from tests.unit.engine.volley import QUICK, Volley, fire, on_uvloop, shot
from tracer_bullet.engine.client import COOKIES, ClientFactory, Shot
from tracer_bullet.engine.http1 import Http1Client
from tracer_bullet.engine.http2 import Http2Client
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.shots import SHOT_ERRORS

BIG = bytes(range(256)) * 12_000  # 3 MB: several windows, many frames

_LOCATIONS = """
    location = /hello { return 200 "hello"; }
    location = /empty { return 204; }
    location = /moved { return 302 /hello; }
    location = /cookies { add_header Set-Cookie "sid=1; Path=/"; add_header Set-Cookie "b=2"; return 200 "set"; }
    location = /many { add_header Set-Cookie "sid=1; Path=/"; add_header Set-Cookie "b=2"; alias @FOLDER@/files/big; }
    location = /busy { add_header Retry-After 7 always; return 503 "busy"; }
    location = /seen { return 200 "$http_traceparent|$http_x_tracer_bullet|$http_host|$request_method|$request_uri"; }
    location = /sink { proxy_pass http://127.0.0.1:@PORT@/hello; }
    location = /silent { proxy_pass http://127.0.0.1:@SILENT@; }
    location = /cut { proxy_pass http://127.0.0.1:@SILENT@/; proxy_read_timeout 50ms; }
    location / { root @FOLDER@/files; gzip on; gzip_types text/plain; gzip_min_length 10; }
"""


@dataclass(frozen=True)
class Target:
    """A client, and an nginx that speaks with it."""

    factory: ClientFactory
    origin: Origin
    settings: EngineSettings

    def fire(self, *shots: Shot, **changes: object) -> list[Shot]:
        return fire(self.factory, self.origin, *shots, settings=replace(self.settings, **changes))  # type: ignore[arg-type]


def _origin(port: int, scheme: str = "http", host: str = "127.0.0.1") -> Origin:
    return Origin(number=0, scheme=scheme, host=host, port=port)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NginxServer, NginxServer, Path]]:
    """In plaintext: `port` HTTP/1.1, `tls_port` HTTP/2; over TLS: `tls_port` both, by ALPN. Then the authority."""
    folder = tmp_path_factory.mktemp("nginx")
    authority = Authority(folder)
    certificate, key = authority.issue("localhost", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # connects, by the system, and never answers
        where = _LOCATIONS.replace("@SILENT@", str(silent.getsockname()[1]))
        body = "client_max_body_size 10m; keepalive_requests 50; http2_max_concurrent_streams 20;"
        plain = f"server {{ listen @PORT@; listen @TLS_PORT@ http2; {body} {where} }}"
        secure = (
            f"server {{ listen @PORT@; listen @TLS_PORT@ ssl http2; {body} ssl_certificate {certificate};"
            f" ssl_certificate_key {key}; {where} }}"
        )
        for name in ("plain", "secure"):
            files = folder / name / "files"
            files.mkdir(parents=True)
            (files / "big").write_bytes(BIG)
            (files / "text.txt").write_text("word " * 1000)
        try:
            with NginxServer(plain, folder / "plain") as one, NginxServer(secure, folder / "secure") as two:
                yield one, two, authority.ca
        except NginxUnavailableError as error:
            pytest.skip(str(error))


@pytest.fixture(params=["http1", "http2", "http1-tls", "http2-tls"])
def target(request: pytest.FixtureRequest, servers: tuple[NginxServer, NginxServer, Path]) -> Target:
    plain, secure, ca = servers
    factory: ClientFactory = Http1Client if request.param.startswith("http1") else Http2Client
    if request.param.endswith("tls"):
        return Target(factory, _origin(secure.tls_port, "https"), replace(QUICK, ca_file=str(ca)))
    port = plain.port if request.param == "http1" else plain.tls_port
    return Target(factory, _origin(port), QUICK)


def error_of(done: Shot) -> str:
    return SHOT_ERRORS[done.error]


def header(done: Shot, name: str) -> str:
    assert done.answer is not None
    return ", ".join(done.answer.values(name))


def test_an_answer_with_all_its_figures(target: Target) -> None:
    (done,) = target.fire(shot(0, "/hello"))
    assert (done.status, error_of(done)) == (200, "")
    assert done.answer is not None
    assert (done.answer.status, done.answer.body, done.cut) == (200, b"hello", False)
    assert done.ready_ns <= done.sent_ns <= done.first_ns <= done.ended_ns
    assert done.request_bytes > 20
    assert done.answer_bytes > 20


def test_what_is_not_wanted_is_not_kept(target: Target) -> None:
    (done,) = target.fire(shot(0, "/hello", wants=False))
    assert (done.status, done.answer) == (200, None)


def test_the_request_arrives_with_its_carriers(target: Target) -> None:
    carriers = ("traceparent: 00-11111111111111111111111111111111-2222222222222222-01", "x-tracer-bullet: token")
    (done,) = target.fire(shot(0, "/seen?a=%20b", carriers=carriers))
    assert done.answer is not None
    assert done.answer.body == f"{carriers[0][13:]}|token|shop.test|GET|/seen?a=%20b".encode()


@pytest.mark.parametrize("path", ["/hello", "/big"])
def test_head_has_headers_and_no_body(target: Target, path: str) -> None:
    done, after = target.fire(shot(0, path, method="HEAD"), shot(1, "/hello"))
    assert (done.status, error_of(done)) == (200, "")
    assert done.answer is not None
    assert done.answer.body == b""
    assert header(done, "content-length") == str(len(BIG) if path == "/big" else 5)
    assert after.status == 200


def test_statuses_without_a_body(target: Target) -> None:
    (found,) = target.fire(shot(0, "/big", method="HEAD"))
    empty, unchanged, after = target.fire(
        shot(0, "/empty"), shot(1, "/big", headers=(f"If-None-Match: {header(found, 'etag')}",)), shot(2, "/hello")
    )
    assert [s.status for s in (empty, unchanged, after)] == [204, 304, 200]
    assert {error_of(s) for s in (empty, unchanged, after)} == {""}


def test_redirects_are_answers(target: Target) -> None:
    (done,) = target.fire(shot(0, "/moved"))
    assert done.status == 302
    assert header(done, "location").endswith("/hello")


def test_what_asks_for_a_pause_is_handed_over_unasked(target: Target) -> None:
    (done,) = target.fire(shot(0, "/busy", wants=False))
    assert done.status == 503
    assert header(done, "retry-after") == "7"


def test_of_whose_cookies_alone_are_wanted_only_these_are_handed_over(target: Target) -> None:
    shots = [
        shot(0, "/cookies"), shot(1, "/hello"), shot(2, "/cookies", method="HEAD"), shot(3, "/silent"),
        shot(4, "/many"), shot(5, "/big"),
    ]  # fmt: skip
    for one in shots:
        one.wants = COOKIES
    sets, none, head, silent, many, big = target.fire(*shots, answer_s=0.3)
    assert (big.status, big.answer) == (200, None)
    for done in (sets, head, many):
        assert done.answer is not None
        assert done.answer.values("set-cookie") == ["sid=1; Path=/", "b=2"]
    assert (none.status, none.answer) == (200, None)
    assert (error_of(silent), silent.answer) == ("answer-timeout", None)


def test_an_endpoints_own_time_out_counts_for_it_alone(target: Target) -> None:
    """Also for those that still wait: there is one connection, and one stream less than there are requests."""
    limits = {7: 300_000_000}

    async def run() -> list[Shot]:
        async with Volley(target.factory, target.origin, replace(target.settings, connections=1), limits) as volley:
            shots = [shot(n, "/silent") for n in range(120)]
            for one in shots[1:]:
                one.endpoint = 7
            volley.send(*shots)
            return list(await volley.until(119))

    back = on_uvloop(run())
    assert {s.number for s in back} == set(range(1, 120))
    assert {error_of(s) for s in back} == {"total-timeout"}
    assert all(s.ended_ns - s.ready_ns >= 300_000_000 for s in back)
    assert any(s.sent_ns == 0 for s in back)


def test_compressed_bodies_stay_compressed(target: Target) -> None:
    (done,) = target.fire(shot(0, "/text.txt", headers=("Accept-Encoding: gzip",)))
    assert header(done, "content-encoding") == "gzip"
    assert done.answer is not None
    assert gzip.decompress(done.answer.body or b"") == b"word " * 1000


def test_large_answers_come_whole_or_cut_where_told(target: Target) -> None:
    (whole,) = target.fire(shot(0, "/big"), keep_bytes=len(BIG))
    assert whole.answer is not None
    assert (whole.answer.body == BIG, whole.cut) == (True, False)
    assert whole.answer_bytes > len(BIG)
    (cut,) = target.fire(shot(0, "/big"), keep_bytes=1000)
    assert cut.answer is not None
    assert (cut.answer.body, cut.cut) == (BIG[:1000], True)
    assert cut.answer_bytes > len(BIG)


def test_large_requests_go_out_whole(target: Target) -> None:
    (done,) = target.fire(shot(0, "/sink", method="POST", body=BIG))
    assert (done.status, error_of(done)) == (200, "")
    assert done.request_bytes > len(BIG)


def test_an_answer_that_comes_before_the_request_is_out_counts(target: Target) -> None:
    """nginx does not wait for the body here."""
    early, after = target.fire(shot(0, "/hello", method="POST", body=BIG), shot(1, "/hello"))
    assert [(s.status, error_of(s)) for s in (early, after)] == [(200, "")] * 2


def test_more_requests_than_connections_and_streams_are_answered_once_each(target: Target) -> None:
    shots = [shot(n, "/hello" if n % 3 else "/text.txt", wants=n % 2 == 0) for n in range(400)]
    back = target.fire(*shots, connections=3)
    assert [s.number for s in back] == list(range(400))
    assert {(s.status, error_of(s)) for s in back} == {(200, "")}


def test_a_connection_that_the_server_ends_with_an_answer_costs_nothing(target: Target) -> None:
    """nginx closes after 50 requests: with `Connection: close`, or with a GOAWAY."""

    async def one_after_the_other() -> list[Shot]:
        async with Volley(target.factory, target.origin, replace(target.settings, connections=2)) as volley:
            for n in range(120):
                await volley.fire(shot(n, "/hello"))
            return volley.back

    back = on_uvloop(one_after_the_other())
    assert {(s.status, error_of(s)) for s in back} == {(200, "")}


@pytest.mark.parametrize("limit", ["answer_s", "total_s"])
def test_silence_is_ended_by_the_time_out_that_fits(target: Target, limit: str) -> None:
    silent, _ = target.fire(shot(0, "/silent"), shot(1, "/hello"), **{limit: 0.3})
    assert error_of(silent) == {"answer_s": "answer-timeout", "total_s": "total-timeout"}[limit]
    assert (silent.status, silent.first_ns, silent.answer) == (0, 0, None)
    assert silent.ended_ns - silent.ready_ns >= 300_000_000


def test_an_upstreams_failure_is_an_answer(target: Target) -> None:
    (done,) = target.fire(shot(0, "/cut"))
    assert (done.status, error_of(done)) == (504, "")


def test_nobody_there_fails_each_shot(target: Target) -> None:
    with socket.socket() as taken:  # bound and not listening: refused
        taken.bind(("127.0.0.1", 0))
        origin = _origin(taken.getsockname()[1], target.origin.scheme)
        back = fire(target.factory, origin, *(shot(n) for n in range(5)), settings=target.settings)
    assert {(error_of(s), s.sent_ns, s.status) for s in back} == {("connect", 0, 0)}


def test_who_never_accepts_is_a_connect_time_out(target: Target) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        fillers = [socket.socket() for _ in range(4)]  # the queue of connections is full with them
        try:
            for filler in fillers:
                filler.settimeout(0)
                filler.connect_ex(address)
            settings = replace(target.settings, connect_s=0.3)
            back = fire(target.factory, _origin(address[1], target.origin.scheme), shot(0), settings=settings)
        finally:
            for filler in fillers:
                filler.close()
    assert {(error_of(s), s.sent_ns) for s in back} == {("connect-timeout", 0)}


def test_an_unknown_name_fails(target: Target) -> None:
    origin = _origin(80, target.origin.scheme, "no.such.host.invalid")
    (done,) = fire(target.factory, origin, shot(0), settings=target.settings)
    assert error_of(done) == "connect"


def test_a_certificate_that_is_not_trusted_is_refused_unless_allowed(
    servers: tuple[NginxServer, NginxServer, Path],
) -> None:
    origin = _origin(servers[1].tls_port, "https")
    for factory in (Http1Client, Http2Client):
        (refused,) = fire(factory, origin, shot(0, "/hello"))
        assert (error_of(refused), refused.sent_ns) == ("tls", 0)
        (allowed,) = fire(factory, origin, shot(0, "/hello"), settings=replace(QUICK, verify=False))
        assert allowed.status == 200


def test_a_tls_server_that_has_not_chosen_http2_gets_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("localhost", x509.IPAddress(ipaddress.ip_address("127.0.0.1"))))

    async def run() -> list[Shot]:
        async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with await asyncio.start_server(deaf, "127.0.0.1", 0, ssl=context) as server:
            origin = _origin(server.sockets[0].getsockname()[1], "https")
            async with Volley(Http2Client, origin, replace(QUICK, ca_file=str(authority.ca))) as volley:
                return await volley.fire(shot(0))

    (done,) = on_uvloop(run())
    assert (error_of(done), done.sent_ns) == ("protocol", 0)


def test_dropping_gives_everything_back_and_tells_nobody(target: Target) -> None:
    async def run() -> tuple[list[Shot], list[Shot]]:
        async with Volley(target.factory, target.origin, replace(target.settings, connections=2)) as volley:
            await volley.fire(shot(0, "/hello"))
            volley.send(*(shot(n, "/silent") for n in range(1, 101)))
            await asyncio.sleep(0)
            dropped = volley.client.drop()
            await volley.client.close()
            return volley.back, dropped

    back, dropped = on_uvloop(run())
    assert [s.number for s in back] == [0]
    assert sorted(s.number for s in dropped) == list(range(1, 101))
    sent = [s for s in dropped if s.sent_ns]
    assert 0 < len(sent) < 100


def test_a_shot_may_be_sent_from_within_done(target: Target) -> None:
    async def chain() -> list[Shot]:
        async with Volley(target.factory, target.origin, target.settings) as volley:
            send: Callable[[Shot], None] = volley.client.send
            volley.on_done = lambda done: send(shot(done.number + 1, "/hello")) if done.number < 30 else None
            send(shot(0, "/hello"))
            return await volley.until(31)

    assert {s.status for s in on_uvloop(chain())} == {200}
