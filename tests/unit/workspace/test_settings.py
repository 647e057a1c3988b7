"""tracer-bullet.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer_bullet.errors import UsageError, WorkspaceError
from tracer_bullet.model import System
from tracer_bullet.workspace.addresses import check_url
from tracer_bullet.workspace.load import parse_located
from tracer_bullet.workspace.settings import (
    Settings,
    TargetSpec,
    find_workspace,
    load_settings,
)
from tracer_bullet.workspace.traces import ClickHouseTracesSpec, EmbeddedTracesSpec, QueriedTracesSpec

ROOT = Path(__file__).parents[3]


def settings_of(text: str, environ: dict[str, str] | None = None) -> Settings:
    return parse_located(text.encode(), Settings, file="tracer-bullet.yaml", environ=environ or {}).value


def test_defaults_are_those_of_the_reference() -> None:
    found = settings_of("version: 1\ntargets: {shop: {url: http://127.0.0.1:8080/}}")
    assert found.targets["shop"] == TargetSpec(url="http://127.0.0.1:8080")
    assert found.traces == EmbeddedTracesSpec(source="embedded", listen="127.0.0.1:4318", settle_s=10.0)
    assert found.keys.private == Path(".tracer-bullet/keys/private.pem")
    assert (found.keys.kid, found.issuer) == (None, "tracer-bullet")
    assert found.targets["shop"].production is False


def test_everything_that_can_be_said() -> None:
    found = settings_of(
        """\
version: 1
targets:
  shop:
    url: ${URL}
    production: ${PROD:-true}
    services: [a, b]
    forwarders: [envoy]
    third_parties: ["*.stripe.com"]
    services_scope: [a*]
traces: {source: zipkin, url: http://zipkin:9411, settle_s: 2.5}
keys: {private: k.pem, kid: k1}
issuer: ci
""",
        {"URL": "https://shop.example/base/"},
    )
    target = found.target("shop")
    assert (target.url, target.production, target.scope) == ("https://shop.example/base", True, ("a*",))
    assert target.system == System(services=("a", "b"), forwarders=("envoy",), third_parties=("*.stripe.com",))
    assert found.traces == QueriedTracesSpec(source="zipkin", url="http://zipkin:9411", settle_s=2.5)
    assert (found.keys.private, found.keys.kid, found.issuer) == (Path("k.pem"), "k1", "ci")


@pytest.mark.parametrize(
    ("target", "scope"),
    [({"services": ["a", "b"]}, ("a", "b")), ({}, ("*",)), ({"services": ["a"], "services_scope": ["x-*"]}, ("x-*",))],
)
def test_the_scope_comes_from_the_services(target: dict[str, list[str]], scope: tuple[str, ...]) -> None:
    assert TargetSpec.model_validate({"url": "http://h", **target}).scope == scope


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:4318", ("127.0.0.1", 4318)), ("[::1]:0", ("::1", 0)), ("0.0.0.0:80", ("0.0.0.0", 80))],
)
def test_addresses_to_listen_on(listen: str, address: tuple[str, int]) -> None:
    assert EmbeddedTracesSpec(source="embedded", listen=listen).address == address


@pytest.mark.parametrize("listen", ["4318", ":4318", "h:", "h:x", "h:70000", "h:-1", "h:4³"])
def test_addresses_that_are_none(listen: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        EmbeddedTracesSpec(source="embedded", listen=listen)


@pytest.mark.parametrize(
    "url",
    [
        "shop",
        "ftp://h",
        "http://",
        "http:///x",
        "http://u:p@h",
        "http://h?x",
        "http://h#x",
        "http://h:99999",
        "http://h:x",
        "http://[::1",
        "http://h /",
        "http://h:0",
        "file:///etc/passwd",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|must not hold"):
        check_url(url)


def test_an_unset_variable_is_told_with_its_line() -> None:
    with pytest.raises(WorkspaceError) as caught:
        settings_of("version: 1\ntargets:\n  shop:\n    url: ${SHOP}\n    prodution: 1")
    told = [(p.line, p.path) for p in caught.value.problems]
    assert (4, "targets.shop.url") in told
    assert (5, "targets.shop.prodution") in told


def test_an_unknown_target_is_told_with_the_closest() -> None:
    with pytest.raises(UsageError) as caught:
        settings_of("version: 1\ntargets: {shop: {url: http://h}, mlflow: {url: http://h}}").target("shopp")
    assert (caught.value.code, caught.value.cure) == ("TB102", "did you mean 'shop'?")


def test_the_workspace_is_found_from_below(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_workspace(deep) is None
    (tmp_path / "tracer-bullet.yaml").write_text("version: 1\ntargets: {t: {url: http://h}}")
    (deep / "tracer-bullet.yaml").mkdir()  # a folder of this name is none
    assert find_workspace(deep) == tmp_path
    assert find_workspace(tmp_path) == tmp_path


def test_this_repositorys_own_settings_load() -> None:
    found = load_settings(ROOT, {}).value
    assert found.target("shop").url == "http://127.0.0.1:8080"
    assert load_settings(ROOT, {"SHOP_URL": "http://h:1"}).value.target("shop").url == "http://h:1"


def test_where_spans_can_be_fetched_from(monkeypatch: pytest.MonkeyPatch) -> None:
    one = "version: 1\ntargets: {shop: {url: http://h}}\ntraces: "
    tempo = settings_of(one + "{source: tempo, url: 'http://tempo:3200/', headers: {X-Scope-OrgID: shop}}").traces
    assert isinstance(tempo, QueriedTracesSpec)
    assert (tempo.url, tempo.headers) == ("http://tempo:3200", {"X-Scope-OrgID": "shop"})
    table = settings_of(one + "{source: clickhouse, url: http://ch:8123, table: otel.otel_traces}").traces
    assert isinstance(table, ClickHouseTracesSpec)
    with pytest.raises(WorkspaceError, match=r"traces\.table"):
        settings_of(one + "{source: clickhouse, url: http://ch:8123, table: 'x; DROP TABLE y'}")
