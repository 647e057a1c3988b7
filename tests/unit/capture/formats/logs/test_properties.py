"""Any log format of the three servers, filled by a renderer of its own with the server's escaping, is read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.capture.formats.logs.reading import one
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.model.exchange import Exchange, Lack

_METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
_TARGETS = st.text("abcXYZ019-._~!$&'()*+,;=:@%/?\"\\<>[]{}|^`", max_size=30).map(lambda text: f"/{text}")
# Any bytes that a header may hold; a lone `-` is how servers write nothing.
_VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f") | st.just("\t"),
    min_size=1,
    max_size=30,
).filter(lambda text: text != "-" and text.strip() == text)
_MILLISECONDS = st.integers(10**12, 2 * 10**12)
_HEADERS = ("user_agent", "referer", "x_request_id", "traceparent", "x_forwarded_for")


def _nginx_escape(text: str, kind: str) -> str:
    """ngx_http_log_module.c, ngx_http_log_escape; ngx_string.c, ngx_escape_json."""
    if kind == "json":
        named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
        return "".join(named.get(ch, f"\\u{ord(ch):04X}" if ord(ch) < 0x20 else ch) for ch in text)
    if kind == "none":
        return text
    return "".join(f"\\x{ord(ch):02X}" if ch in '"\\' or ord(ch) < 0x20 or ord(ch) > 126 else ch for ch in text)


def _apache_escape(text: str) -> str:
    """server/util.c, ap_escape_logitem."""
    named = {"\b": "\\b", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\"}
    return "".join(named.get(ch, f"\\x{ord(ch):02x}" if ord(ch) < 0x20 or ord(ch) > 126 else ch) for ch in text)


def _is(found: Exchange, method: str, target: str, headers: dict[str, str]) -> None:
    assert (found.request.method, found.request.target) == (method, target)
    assert dict(found.request.headers) == headers


@given(
    st.data(), _METHODS, _TARGETS, _MILLISECONDS, st.integers(0, 10**6),
    st.sampled_from(["default", "json"]),
    st.sets(st.sampled_from(_HEADERS)),
    st.sampled_from(["'{}'", '"{}"', "bare"]),
)  # fmt: skip
def test_any_log_format_of_nginx(
    data: st.DataObject, method: str, target: str, end_ms: int, spent_ms: int, kind: str, names: set[str], quotes: str
) -> None:
    values = {f"http_{name}": data.draw(_VALUES) for name in names}
    values |= {
        "msec": f"{end_ms / 1000:.3f}", "request_time": f"{spent_ms / 1000:.3f}", "status": "200",
        "request": f"{method} {target} HTTP/1.1", "body_bytes_sent": "17", "remote_addr": "203.0.113.7",
    }  # fmt: skip
    spare = data.draw(st.sampled_from(["", " request_id=$request_id"]))
    order = data.draw(st.permutations(sorted(values)))
    between = data.draw(st.sampled_from([" ", " | ", "\t", ", ", " - "]))
    pieces = [f'${{{n}}}"'.join(('"', "")) if n.startswith(("http_", "request")) else f"${n}" for n in order]
    text = between.join(pieces) + spare
    line = text
    for name in sorted(values, key=len, reverse=True):  # `$request_time` before `$request`
        line = line.replace(f"${{{name}}}", f"\0{name}\1").replace(f"${name}", f"\0{name}\1")
    for name, value in {**values, "request_id": "4f2a"}.items():
        line = line.replace(f"\0{name}\1", _nginx_escape(value, kind)).replace(f"${name}", value)
    escaped = text.replace("'", "\\'") if quotes == "'{}'" else text.replace('"', '\\"')
    body = text if quotes == "bare" else quotes.format(escaped)
    option = "" if kind == "default" else f"escape={kind} "
    given_format = f"{option}{body}" if quotes == "bare" else f"log_format mine {option}{body};"
    found = one(FORMATS["nginx"], f"{line}\n", log_format=given_format)
    _is(
        found,
        method,
        target,
        {name.removeprefix("http_").replace("_", "-"): values[name] for name in values if "http_" in name},
    )
    assert found.started_ns == max(0, end_ms - spent_ms) * 1_000_000
    assert found.ended_ns == end_ms * 1_000_000
    assert not found.lacks & {Lack.START, Lack.SUBSECOND, Lack.DURATION}


@given(_METHODS, _TARGETS, _MILLISECONDS, _VALUES, st.permutations(["at", "asked", "agent", "took", "status"]))
def test_json_lines_of_nginx_whose_keys_were_put_in_another_order(
    method: str, target: str, end_ms: int, agent: str, order: list[str]
) -> None:
    log_format = (
        'escape=json {"at": "$msec", "asked": "$request", "agent": "$http_user_agent", "took": $request_time, '
        '"status": $status}'
    )
    values = {
        "at": f"{end_ms / 1000:.3f}", "asked": f"{method} {target} HTTP/1.1", "agent": agent, "took": 0.25,
        "status": 200,
    }  # fmt: skip
    line = json.dumps({name: values[name] for name in order}, ensure_ascii=False)
    found = one(FORMATS["nginx"], line, log_format=log_format)
    _is(found, method, target, {"user-agent": agent})
    assert found.started_ns == end_ms * 1_000_000 - 250_000_000


@given(st.data(), _METHODS, _TARGETS, _MILLISECONDS, st.integers(0, 10**9), st.sets(st.sampled_from(_HEADERS)))
def test_any_log_format_of_apache(
    data: st.DataObject, method: str, target: str, start_ms: int, spent_us: int, names: set[str]
) -> None:
    start = datetime.fromtimestamp(start_ms // 1000, UTC)
    stamps = {
        "%t": (f"[{start:%d/%b/%Y:%H:%M:%S} +0000]", 1000),
        "%{%Y-%m-%dT%T}t.%{msec_frac}t%{%z}t": (f"{start:%Y-%m-%dT%H:%M:%S}.{start_ms % 1000:03}+0000", 1),
        "%{begin:msec}t": (str(start_ms), 1),
        "%{sec}t.%{usec_frac}t": (f"{start_ms // 1000}.{start_ms % 1000:03}000", 1),
    }
    stamp = data.draw(st.sampled_from(sorted(stamps)))
    values = {name: data.draw(_VALUES) for name in sorted(names)}
    rendered = [
        (stamp, stamps[stamp][0]), ("%>s", "200"), ("%D", str(spent_us)), ("%a", "2001:db8::7"), ("%b", "-"),
        ('"%r"', f'"{_apache_escape(f"{method} {target} HTTP/1.1")}"'),
        *((f'"%{{{n.replace("_", "-")}}}i"', f'"{_apache_escape(v)}"') for n, v in values.items()),
    ]  # fmt: skip
    rendered = data.draw(st.permutations(rendered))
    log_format = " ".join(directive for directive, _ in rendered)
    line = " ".join(text for _, text in rendered)
    if data.draw(st.booleans()):
        quoted = log_format.replace("\\", "\\\\").replace('"', '\\"')
        log_format = f'LogFormat "{quoted}" mine'
    found = one(FORMATS["apache"], line, log_format=log_format)
    _is(found, method, target, {name.replace("_", "-"): value for name, value in values.items()})
    grain_ms = stamps[stamp][1]
    assert found.started_ns == start_ms // grain_ms * grain_ms * 1_000_000
    assert found.ended_ns == found.started_ns + spent_us * 1000
    assert (Lack.SUBSECOND in found.lacks) == (grain_ms == 1000)


@given(
    _METHODS, st.text("abcXYZ019-._~!$&'()*+,;=:@%/?", max_size=30), _MILLISECONDS, st.integers(0, 10**6), _VALUES,
    st.sampled_from(["%START_TIME%", "%START_TIME(%s.%3f)%", "%START_TIME(%Y/%m/%d %H:%M:%E3S)%"]),
)  # fmt: skip
def test_envoys_formats_with_a_user_agent_that_nothing_escapes(
    method: str, rest: str, start_ms: int, spent_ms: int, agent: str, stamp: str
) -> None:
    start = datetime.fromtimestamp(start_ms // 1000, UTC)
    milliseconds = f"{start_ms % 1000:03}"
    written = {
        "%START_TIME%": f"{start:%Y-%m-%dT%H:%M:%S}.{milliseconds}Z",
        "%START_TIME(%s.%3f)%": f"{start_ms // 1000}.{milliseconds}",
        "%START_TIME(%Y/%m/%d %H:%M:%E3S)%": f"{start:%Y/%m/%d %H:%M:%S}.{milliseconds}",
    }
    log_format = (
        f'[{stamp}] "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" %RESPONSE_CODE% %DURATION% "%REQ(USER-AGENT)%" '
        '"%REQ(:AUTHORITY)%"\\n'
    )
    line = f'[{written[stamp]}] "{method} /{rest} HTTP/2" 204 {spent_ms} "{agent}" "shop.example:8080"'
    found = one(FORMATS["envoy"], line, log_format=log_format)
    _is(found, method, f"/{rest}", {"user-agent": agent, "host": "shop.example:8080"})
    assert (found.started_ns, found.ended_ns) == (start_ms * 1_000_000, (start_ms + spent_ms) * 1_000_000)
    assert found.request.http_version == "2"


@given(_METHODS, st.text("abc/ äöü%?&=\"'é", max_size=20), _VALUES)
def test_decoded_paths_are_sent_as_what_was_decoded(method: str, path: str, agent: str) -> None:
    path = path.replace("?", "").encode().decode("latin-1")
    line = f"1795290303.876|{method}|{_nginx_escape('/' + path, 'default')}|{_nginx_escape(agent, 'default')}"
    found = one(FORMATS["nginx"], line, log_format="$msec|$request_method|$uri|$http_user_agent")
    assert unquote_to_bytes(found.request.target).decode("latin-1") == f"/{path}"
    assert found.request.target.isascii()
    assert " " not in found.request.target
