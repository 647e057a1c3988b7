"""What the load generators of engine.py send, and the files that each wants it in.

`constant`: one GET, the same each time. `traced`: the same with a traceparent and a request id of its own each time.
`mix`: 1,000 endpoints in a fixed random order, a third of them writes, bodies of 20 B to 64 kB, some cookies, and
answers of four sizes; traced too where the generator can. Everything is drawn from one seed.
"""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ANSWERS = {"s0": 100, "s1": 1_000, "s2": 4_000, "s3": 16_000}
KINDS = ("constant", "traced", "mix")


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def calls(kind: str) -> list[Call]:
    """The requests of a kind, to be repeated round and round."""
    if kind != "mix":
        return [Call("GET", "/s0/x")]
    chance = random.Random(5)
    rows = []
    for n in range(1000):
        path = f"/s{chance.choices(range(4), (60, 25, 10, 5))[0]}/shop/{n}/items?page={n % 7}&q={'x' * (n % 30)}"
        headers = [("user-agent", "bench/1.0 (like a browser)"), ("accept", "application/json")]
        if n % 2:
            headers.append(("cookie", f"sid={chance.randbytes(16).hex()}; theme=dark"))
        if n % 3:
            rows.append(Call("GET", path, tuple(headers)))
            continue
        size = int(min(65_536, max(20, chance.lognormvariate(6, 1.5))))
        headers.append(("content-type", "application/json"))
        rows.append(Call("POST", path, tuple(headers), (b'{"a": 1}' * (size // 8 + 1))[:size]))
    chance.shuffle(rows)
    return rows


def head(call: Call, host: str) -> bytes:
    """Request line and header lines, as an Arrival has them."""
    lines = [f"{call.method} {call.path} HTTP/1.1", f"host: {host}", *(f"{k}: {v}" for k, v in call.headers)]
    if call.method == "POST":
        lines.append(f"content-length: {len(call.body)}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def traceparent() -> str:
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


def nginx_http() -> str:
    """For tests.servers.nginx: four sizes of answers, over TCP and TLS, and a count of requests."""
    # nginx takes no parameter of more than 4 kB, so that long answers are a variable's value many times.
    places = "".join(
        f'location /{name}/ {{ set $hundred "{"a" * 100}"; return 200 "{"$hundred" * (size // 100)}"; }}\n'
        for name, size in ANSWERS.items()
    )
    return f"""
      access_log off;
      default_type application/json;
      keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 1m; client_body_buffer_size 128k;
      ssl_certificate @FOLDER@/server.pem; ssl_certificate_key @FOLDER@/server.key;
      server {{
        listen 127.0.0.1:@PORT@ backlog=4096; listen 127.0.0.1:@TLS_PORT@ ssl backlog=4096;
        {places}
        location /count {{ stub_status; }}
      }}
    """


def vegeta_targets(url: str, kind: str, folder: Path) -> Path:
    """JSON lines: https://github.com/tsenart/vegeta#json-format. It reads all before it begins, and repeats them."""
    some = calls(kind)
    count = {"constant": 1, "traced": 100_000, "mix": 5_000}[kind]

    def row(n: int) -> str:
        call = some[n % len(some)]
        headers = {key: [value] for key, value in call.headers}
        if kind != "constant":
            headers["traceparent"] = [traceparent()]
        text = {"method": call.method, "url": url + call.path, "header": headers}
        if call.body:
            text["body"] = base64.b64encode(call.body).decode()
        return json.dumps(text)

    return _written(folder / f"{kind}.vegeta.json", lambda: "".join(row(n) + "\n" for n in range(count)).encode())


def wrk_script(kind: str, folder: Path) -> Path | None:
    """Lua: https://github.com/wg/wrk/blob/master/SCRIPTING."""
    if kind == "constant":
        return None
    trace = """string.format("00-%08x%08x%08x%08x-%08x%08x-01", r(0,2147483647), r(0,2147483647), r(0,2147483647),
      r(0,2147483647), r(0,2147483647), r(0,2147483647))"""
    rows = []
    for call in calls(kind):
        pairs = ", ".join(f"[{json.dumps(k)}] = {json.dumps(v)}" for k, v in call.headers)
        body = json.dumps(call.body.decode()) if call.body else "nil"
        rows.append(f"{{{json.dumps(call.method)}, {json.dumps(call.path)}, {{{pairs}}}, {body}}}")
    script = f"""
      local calls = {{ {", ".join(rows)} }}
      local n, r = 0, math.random
      function request()
        n = n % #calls + 1
        local c = calls[n]
        c[3]["traceparent"] = {trace}
        return wrk.format(c[1], c[2], c[3], c[4])
      end
    """
    return _written(folder / f"{kind}.lua", script.encode)


def k6_script(url: str, kind: str, folder: Path, rate: int = 0) -> Path:
    """https://grafana.com/docs/k6: as many iterations as 64 users manage, or a constant arrival rate."""
    rows = [{"m": c.method, "u": url + c.path, "h": dict(c.headers), "b": c.body.decode() or None} for c in calls(kind)]
    how = (
        {"executor": "constant-arrival-rate", "rate": rate, "timeUnit": "1s", "preAllocatedVUs": 100, "maxVUs": 400}
        if rate
        else {"executor": "constant-vus", "vus": 64}
    )
    script = f"""
      import http from 'k6/http';
      const calls = {json.dumps(rows)};
      export const options = {{ discardResponseBodies: true, insecureSkipTLSVerify: true, systemTags: [],
        scenarios: {{ a: {{ ...{json.dumps(how)}, duration: __ENV.FOR }} }} }};
      const hex = n => {{ let s = ''; while (s.length < n) s += Math.floor(Math.random() * 4294967296).toString(16).padStart(8, '0'); return s; }};
      let n = 0;
      export default function () {{
        const c = calls[n++ % calls.length];
        const h = {"c.h" if kind == "constant" else "Object.assign({traceparent: `00-${hex(32)}-${hex(16)}-01`}, c.h)"};
        http.request(c.m, c.u, c.b, {{ headers: h }});
      }}
    """  # noqa: E501
    return _written(folder / f"{kind}-{rate}.js", script.encode)


def gor_file(kind: str, folder: Path, host: str, rate: float, count: int) -> Path:
    """GoReplay's format: `1 id unix_ns latency`, the request, a separator line."""

    def text() -> bytes:
        some = calls(kind)
        start = 1_700_000_000_000_000_000
        parts = []
        for n in range(count):
            call = some[n % len(some)]
            lines = head(call, host) + (f"traceparent: {traceparent()}\r\n".encode() if kind != "constant" else b"")
            stamp = b"1 %024x %d 0\n" % (n, start + int(n / rate * 1e9))
            parts.append(stamp + lines + b"\r\n" + call.body + "\n🐵🙈🙉\n".encode())
        return b"".join(parts)

    return _written(folder / f"{kind}-{rate}-{count}.gor", text)


def _written(path: Path, content: Callable[[], bytes]) -> Path:
    if not path.exists():
        path.write_bytes(content())
    return path
