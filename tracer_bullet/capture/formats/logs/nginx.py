"""nginx's access log: any `log_format`, the combined one without. Its times are those of the end.

Sources: nginx's ngx_http_log_module (variables are escaped as `\\xHH`, for JSON, or not at all; a missing one is `-`,
or nothing with `escape=json` and `none`), and its documentation of `log_format`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs import errors
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.json_pattern import json_template
from tracer_bullet.capture.formats.logs.lines.pattern import AmbiguousError, Part, Pattern, Quotes
from tracer_bullet.capture.formats.logs.lines.template import LineLog, LinePattern, check
from tracer_bullet.capture.formats.logs.values import clock, escapes
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

NO_ANSWER: Final = frozenset({0, 444, 499})  # it hung up; the client did
_MS_NS: Final = 1_000_000
COMMON: Final = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
COMBINED: Final = COMMON + ' "$http_referer" "$http_user_agent"'
NAMED: Final = {
    "combined": COMBINED,
    "common": COMMON,
    "main": COMBINED + ' "$http_x_forwarded_for"',  # of nginx's own packages
}

_ADDRESS: Final = Column(role=Role.CLIENT)
_NEAR_HOST: Final = r'[^/?\s"]++'
_NEAR_TARGET: Final = r'/[^\s"]*+'

VARIABLES: Final[dict[str, Column]] = {
    "request": Column(role=Role.REQUEST_LINE),
    "request_method": Column(role=Role.METHOD, near="[A-Z]++"),
    "request_uri": Column(role=Role.TARGET, near=_NEAR_TARGET),
    "uri": Column(role=Role.PATH),
    "document_uri": Column(role=Role.PATH),
    "args": Column(role=Role.QUERY),
    "query_string": Column(role=Role.QUERY),
    "is_args": Column(role=Role.SKIP, pattern=r"\??"),
    "server_protocol": Column(role=Role.PROTOCOL, pattern=r"HTTP/[\d.]++|-|"),
    "scheme": Column(role=Role.SCHEME, near="https?"),
    "https": Column(role=Role.HTTPS),
    "host": Column(role=Role.HOST, near=_NEAR_HOST),
    "http_host": Column(role=Role.HEADER, name="host", near=_NEAR_HOST),
    "server_port": Column(role=Role.PORT, pattern=r"\d++|-|"),
    "status": c.status(),
    "remote_addr": _ADDRESS,
    "realip_remote_addr": _ADDRESS,
    "proxy_add_x_forwarded_for": _ADDRESS,
    "time_local": c.moment(Role.END, clock.CLF),
    "time_iso8601": c.moment(Role.END, clock.ISO_SECONDS),
    "msec": c.moment(Role.END, clock.epoch_stamp(c.SECOND_NS)),
    "request_time": c.duration(c.SECOND_NS),
    "content_type": c.header("content-type"),
    "content_length": c.header("content-length"),
    "body_bytes_sent": c.number(),
    "bytes_sent": c.number(),
    "request_length": c.number(),
    "connection": c.number(),
    "connection_requests": c.number(),
}
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)
_DECODED: Final = re.compile(r"\$(?:document_)?uri\$is_args\$(?:args|query_string)")
_JOINED: Final = "tb_uri_args"
_DIRECTIVE: Final = re.compile(r"\s*log_format\s+([^\s;]+)\s+(.*?);?\s*", re.DOTALL)
_PIECES: Final = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s;'"]\S*))""", re.DOTALL)
_ESCAPE: Final = re.compile(r"\s*escape=(\w+)\s+")
_QUOTES: Final[dict[str, Quotes]] = {"default": "hex", "json": "backslash", "none": "raw"}
_ESCAPES: Final = {"default": escapes.backslashes, "json": escapes.json_text, "none": escapes.plain}


def column_of(variable: str) -> Column:
    """What a variable holds; those that nobody needs are skipped."""
    if found := VARIABLES.get(variable):
        return found
    for prefix, role in (
        ("sent_http_", Role.ANSWER_HEADER), ("http_", Role.HEADER), ("cookie_", Role.COOKIE),
    ):  # fmt: skip
        if variable.startswith(prefix):
            name = variable.removeprefix(prefix)
            return Column(role=role, name=name if role is Role.COOKIE else name.replace("_", "-"))
    return Column(role=Role.SKIP, name=variable)


def parse(log_format: str) -> tuple[str, str]:
    """The escaping and the text of a format: a name, a `log_format` directive, its quoted pieces, or the bare text."""
    text = NAMED.get(log_format.strip(), log_format)
    directive = _DIRECTIVE.fullmatch(text)
    quoted = directive is not None
    if directive is not None:
        text = directive[2]
    kind = "default"
    if escape := _ESCAPE.match(text):
        kind, text = escape[1], text[escape.end() :]
    if quoted or text.lstrip().startswith("'"):
        text = "".join(_unquoted(found) for found in _PIECES.finditer(text.rstrip().removesuffix(";")))
    return kind, text.rstrip("\r\n")


def _unquoted(found: re.Match[str]) -> str:
    text = found[1] if found[1] is not None else found[2] if found[2] is not None else found[3]
    named = {"n": "\n", "t": "\t", "r": "\r"}
    # As ngx_conf_read_token: a backslash before anything else stays.
    return re.sub(r"\\([\"'\\ntr])", lambda m: named.get(m[1], m[1]), text)


def parts_of(text: str, *, dashes: bool = True) -> list[Part]:
    """Literals and columns of a format's text. `dashes`: whether what is missing is written as `-`."""
    text = _DECODED.sub(f"${{{_JOINED}}}", text)  # one value, as there is nothing between its parts
    parts: list[Part] = []
    at = 0
    for found in _VARIABLE.finditer(text):
        name = found[1] or found[2]
        joined = Column(role=Role.PATH, name=c.WITH_DASH if dashes else "")
        parts += [text[at : found.start()], joined if name == _JOINED else column_of(name)]
        at = found.end()
    return [*parts, text[at:]]


class Nginx:
    """Lines of one `log_format` of nginx; combined, common or main where `log_format` says nothing."""

    name = "nginx access log"

    def recognises(self, head: bytes) -> bool:  # noqa: ARG002
        """Never: its usual form is Apache's too. See logs/combined.py."""
        return False

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """See Format. Raises UsageError TB915 and TB916."""
        log = compile_log(options)
        return log.read(stream, losses, options)


def compile_log(options: ReadOptions) -> LineLog:
    """The reader for the format in `options`. Raises UsageError TB915, TB916."""
    given = options.log_format
    if options.log_time == "start":
        raise errors.contradiction(given or "nginx", "end")
    kind, text = parse(given) if given else ("default", "")
    if kind not in _ESCAPES:
        raise errors.format_unclear(given, f"nginx knows escape=default, json and none, not {kind}")
    texts = [text] if given else [NAMED["main"], NAMED["combined"], NAMED["common"]]
    patterns: list[LinePattern] = []
    try:
        for each in texts:
            parts = parts_of(each, dashes=kind == "default")
            patterns.append(Pattern(parts, unescape=_ESCAPES[kind], quotes=_QUOTES[kind]))
            if kind == "json" and (reordered := json_template(parts)):
                patterns.append(reordered)
    except AmbiguousError as error:
        raise errors.format_unclear(given, f"nothing parts {error}") from error
    for pattern in patterns:
        check(pattern, given, ("$request or $request_uri", "$request or $request_method", "$msec or $time_local"))
    return LineLog(patterns, source="nginx", no_answer=NO_ANSWER)
