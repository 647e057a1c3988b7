"""Collections and commands: what of them is a request, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.capture.formats.samples import CURL, INSOMNIA, POSTMAN
from tests.unit.capture.formats.shop import shop
from tracer_bullet.capture.formats.base import Format, ReadOptions
from tracer_bullet.capture.formats.collections import curl, insomnia, listed
from tracer_bullet.capture.formats.collections.curl import Curl
from tracer_bullet.capture.formats.collections.insomnia import Insomnia
from tracer_bullet.capture.formats.collections.postman import Postman
from tracer_bullet.capture.formats.collections.shell import words
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses

NO_TIMES = {Lack.START, Lack.DURATION, Lack.SESSION}


def read(reader: Format, content: str | dict[str, Any], losses: Losses | None = None) -> list[Exchange]:
    text = content if isinstance(content, str) else json.dumps(content)
    return list(reader.read(io.BytesIO(text.encode()), losses if losses is not None else Losses(), ReadOptions()))


def test_postman() -> None:
    losses = Losses()
    saved, form, file = read(Postman(), POSTMAN, losses)
    assert (saved.request.method, saved.request.target) == ("GET", "/api/saved")
    assert saved.request.values("authorization") == []  # as its request has `noauth`
    assert saved.answer is not None
    assert (saved.answer.status, saved.answer.body) == (201, b'{"ok": true}')
    assert form.request.body == b"a=1+2&b=%C3%A4%26"
    assert form.request.values("authorization") == ["Bearer t1"]
    assert form.request.values("content-type") == ["application/x-www-form-urlencoded"]
    assert file.unreplayable == "write-without-body"
    assert [e.started_ns for e in (saved, form, file)] == [1, 2, 3]
    assert form.lacks == NO_TIMES | {Lack.ANSWER, Lack.REQUEST_HEADERS}
    assert losses.lost == {listed.UNRESOLVED: 1}


def test_a_postman_request_without_saved_answers() -> None:
    item = {**POSTMAN["item"][0]["item"][0], "response": []}
    (login,) = read(Postman(), {**POSTMAN, "item": [item]})
    assert login.request.authority == "shop.example:8443"
    assert login.request.target == "/api/users/7?q=a%20b"
    assert login.request.body == '{"name": "änne"}'.encode()
    assert login.request.headers == (("X-A", "1"), ("Content-Type", "application/json"))


def test_insomnia() -> None:
    losses = Losses()
    login, form = read(Insomnia(), INSOMNIA, losses)
    assert (login.request.authority, login.request.target) == ("shop.example", "/login?q=a+b")
    assert login.request.headers == (
        ("X-A", "1"),
        ("Authorization", "Basic dTpw"),
        ("Content-Type", "application/json"),
    )
    assert form.request.body == b"a=1+2"
    assert form.lacks == NO_TIMES | {Lack.ANSWER, Lack.REQUEST_HEADERS}
    assert losses.lost == {listed.UNRESOLVED: 1, insomnia.OTHER: 1}


def test_resources_of_no_type_are_passed_over() -> None:
    more = [{"_type": {}}, {"_type": []}, [], None, {"_type": "request"}, {"_type": "environment", "data": []}]
    assert len(read(Insomnia(), {**INSOMNIA, "resources": [*more, *INSOMNIA["resources"]]})) == 2


def test_curl() -> None:
    losses = Losses()
    login, items, form, none, upload, lines = read(Curl(), CURL, losses)
    assert (login.request.method, login.request.target) == ("POST", "/login?x=1")
    assert login.request.body == '{"name":"änne!","q":"it\'s"}'.encode()
    assert login.request.headers == (("content-type", "application/json"), ("cookie", "sid=1"))
    assert (items.request.method, items.request.body) == ("GET", b"")
    assert form.request.body == b"a=1&b=2 3"
    assert form.request.values("authorization") == ["Basic dTpw"]
    assert (none.request.method, none.request.http_version) == ("DELETE", "2")
    assert upload.unreplayable == "write-without-body"
    assert lines.request.body == b"one\ntwo"
    assert losses.lost == {}


def test_curl_commands_that_are_broken_cost_themselves_alone() -> None:
    good = "curl 'https://a.example/1'\n"
    for bad, reason in (
        ("wget https://a.example/\n", curl.NO_COMMAND),
        ("curl 'https://a.example/x\n", curl.NOT_CLOSED),
        ('curl ^"https://a.example/^" ^\n', curl.WINDOWS),
    ):
        losses = Losses()
        assert [e.request.target for e in read(Curl(), good + bad + good, losses)] == ["/1", "/1"], bad
        assert losses.lost[reason] >= 1


@pytest.mark.parametrize(
    "text", ["'" * 3 + "\n", "curl '" + "\n" * 20_000, "curl " + "\\\n" * 5_000, "curl 'a\n" * 3_000]
)
def test_curl_takes_no_longer_than_the_text(text: str) -> None:
    read(Curl(), text * 3)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4
    )
)
def test_words_are_those_of_a_shell(texts: list[str]) -> None:
    quoted = " ".join("'" + text.replace("'", "'\\''") + "'" for text in texts)
    assert words(quoted) == texts


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is missing")
@pytest.mark.parametrize(
    "text",
    [r"a\ b c", r'"a\"b\\c\d$" x', r"$'a\nb\x41\u00e4\101\'' y", "a'b'\"c\"d", "a \\\nb", r"'\n'", '"a\\\nb"', "''"],
)
def test_words_are_those_of_bash(text: str) -> None:
    script = f'for word in {text}; do printf "%s\\0" "$word"; done'
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert words(text) == done.stdout.decode().split("\0")[:-1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
@pytest.mark.parametrize(
    "options", ["-d a=1 -d 'b=2 3'", "--data-raw @x", "-G -d q=1", "--json '{}'", "-XPUT --data-binary $'a\\nb'",
                "--data-urlencode 'a=1 &'", "-I", "-sSXPOST"]
)  # fmt: skip
def test_curl_itself_sends_the_same(options: str, tmp_path: Path) -> None:
    seen: dict[str, bytes] = {}
    with shop(seen) as port:
        command = f"curl -s 'http://127.0.0.1:{port}/c?x=1' {options}"
        subprocess.run(["bash", "-c", command], check=True, capture_output=True, cwd=tmp_path, timeout=30)
    (one,) = read(Curl(), command + "\n")
    assert seen == {one.request.target: one.request.body}
