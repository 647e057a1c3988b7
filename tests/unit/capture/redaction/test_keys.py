"""The key of pseudonyms, and the section of tracer-bullet.yaml that leads to a redactor."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tracer_bullet.capture.redaction import Action, Place, Rule
from tracer_bullet.capture.redaction.keys import KEY_VARIABLE, load_key
from tracer_bullet.capture.redaction.settings import make_redactor, rules_of
from tracer_bullet.errors import KeyFileError, WorkspaceError
from tracer_bullet.workspace.capture import CaptureSpec
from tracer_bullet.workspace.load import parse_located
from tracer_bullet.workspace.settings import Settings

SECTION = b"""
version: 1
targets: {shop: {url: http://shop}}
capture:
  emails: true
  redact:
    - {json: "$..card", action: mask, paths: ["/pay*"], why: the bank says so}
    - {content: image/*, action: keep}
    - {path: "^/reset/([^/]+)"}
  session: ["cookie:sid", "jwt:sub", client]
  body_limit: 2 MB
  sample: 10 %
"""


def spec(text: bytes = SECTION) -> CaptureSpec:
    return parse_located(text, Settings, file="tracer-bullet.yaml").value.capture


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "capture.key"
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(load_key(path, {}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert len(keys[0]) == 64


def test_the_environment_comes_first(tmp_path: Path) -> None:
    assert load_key(tmp_path / "none", {KEY_VARIABLE: "k" * 20}) == b"k" * 20
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "short", "\u00e9" * 40])
def test_a_key_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    path = tmp_path / "capture.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="TB931"):
        load_key(path, {})


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "capture.key"
    path.write_text("k" * 64)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="TB932"):
        load_key(path, {})


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="TB931"):
        load_key(tmp_path / "file" / "capture.key", {})


def test_the_section_becomes_rules(tmp_path: Path) -> None:
    rules = rules_of(spec())
    assert rules.rules == (
        Rule(place=Place.JSON, match="$..card", action=Action.MASK, paths=("/pay*",)),
        Rule(place=Place.CONTENT, match="image/*", action=Action.KEEP),
        Rule(place=Place.PATH, match="^/reset/([^/]+)"),
    )
    assert (rules.emails, rules.body_limit) == (True, 2_000_000)
    assert (spec().sample, spec().session) == (0.1, ("cookie:sid", "jwt:sub", "client"))
    redactor = make_redactor(spec(), tmp_path, {})
    assert (tmp_path / ".tracer-bullet/keys/capture.key").exists()
    assert redactor.fingerprint == make_redactor(spec(), tmp_path, {}).fingerprint


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{redact: [{json: card}]}", "capture.redact.0.json: must be a JSONPath"),
        ("{redact: [{action: mask}]}", "a rule needs exactly one of"),
        ("{redact: [{query: a, form: b}]}", "a rule needs exactly one of"),
        ("{redact: [{pattern: '('}]}", "no valid regular expression"),
        ("{redact: [{path: a, action: keep}]}", "capture.redact.0.action: a path cannot be kept"),
        ("{redact: [{query: a, action: drop}]}", "capture.redact.0.action"),
        ("{session: [ip]}", "capture.session.0"),
        ("{sample: 150 %}", "capture.sample: must be a share"),
        ("{keep: true}", "capture.keep"),
    ],
)
def test_mistakes_are_told_with_their_place(section: str, said: str) -> None:
    text = f"version: 1\ntargets: {{shop: {{url: http://shop}}}}\ncapture: {section}\n".encode()
    with pytest.raises(WorkspaceError) as told:
        parse_located(text, Settings, file="tracer-bullet.yaml")
    assert said in str(told.value)


def test_every_json_path_that_settings_take_is_understood() -> None:
    for path in ("$.a", "$..a", "$.a[*].b", "$[0]['x y']", '$["a"]', "$.*", "$..*", "$.a-b", "$..['a']", "$..[0]"):
        text = f"version: 1\ntargets: {{shop: {{url: http://shop}}}}\ncapture: {{redact: [{{json: {path!r}}}]}}\n"
        if "'" in path:
            text = text.replace(repr(path), f"'{path.replace(chr(39), chr(39) * 2)}'")
        make_redactor(spec(text.encode()), Path("/nowhere"), {KEY_VARIABLE: "k" * 32})
