"""Claim: this repository's own catalog agrees with its shop, and a provider that fails is named with its owner."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import run_cli
from tracer_bullet.cli.main import run
from tracer_bullet.graph.causes import choose_examples, find_causes, find_contrasts
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import Catalog
from tracer_bullet.sim import shop_topology
from tracer_bullet.workspace.catalog import load_catalog

ROOT = Path(__file__).parents[2]
PROVIDER = "127.0.0.1:8099"


@pytest.fixture
def with_catalog(workspace: Path) -> Callable[[Any], Path]:
    """Puts our own catalog into the workspace, with the address that the payment provider has this time."""

    def put(shop: Any) -> Path:
        shutil.copytree(ROOT / "catalog", workspace / "catalog")
        path = workspace / "catalog" / "shop.yaml"
        (address,) = shop.system().third_parties
        assert PROVIDER in path.read_text()
        path.write_text(path.read_text().replace(PROVIDER, address))
        return path

    return put


@pytest.fixture
def cli(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The command line in this process: exit code, stdout and stderr."""
    monkeypatch.chdir(workspace)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["catalog", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_check_and_sync_on_a_run_of_the_shop(
    firing_range: Callable[..., Any],
    with_catalog: Callable[[Any], Path],
    workspace: Path,
    cli: Callable[..., Any],
) -> None:
    with firing_range() as r:
        _, folder = r.fire(bullets=2)
        path = with_catalog(r.shop)
    checked = run_cli("catalog", "check", cwd=workspace)
    assert (checked.returncode, checked.stdout) == (0, "0 errors, 0 warnings\n"), checked.stderr
    own = path.read_text()

    path.write_text(own.replace("    - component:payment\n", "    - component:payments\n"))
    code, out, _ = cli("check", folder.run_id[:15], "--json")
    rules = {f["rule"] for f in json.loads(out)["findings"]}
    assert (code, rules) == (1, {"undeclared-dependency", "unknown-dependency"})
    text = cli("check")[1]
    assert "dependsOn names component:payments" in text
    assert "did you mean 'component:default/payment'?" in text

    cut = own.replace("    - component:payment\n", "")
    path.write_text(cut)
    code, out, err = cli("sync")
    assert (code, "+    - component:payment\n" in out, "nothing was written" in err) == (0, True, True)
    assert path.read_text() == cut
    assert cli("sync", "--write")[:2] == (0, "wrote catalog/shop.yaml\n")
    assert sorted(path.read_text().splitlines()) == sorted(own.splitlines())
    written = path.read_bytes()
    assert cli("sync", "--write")[:2] == (0, "the catalog declares everything that was observed\n")
    assert json.loads(cli("sync", "--write", "--json")[1]) == {"written": True, "changes": []}
    assert path.read_bytes() == written
    assert cli("check")[0] == 0


def test_sync_makes_a_catalog_from_nothing(
    firing_range: Callable[..., Any], workspace: Path, cli: Callable[..., Any]
) -> None:
    with firing_range() as r:
        r.fire(bullets=1)
    code, _, err = cli("check")
    assert (code, "TB521" in err) == (2, True)
    assert cli("sync", "--write")[:2] == (0, "wrote catalog/observed.yaml\n")
    made = load_catalog(workspace)
    assert {e.name for e in made.entities} >= {"gateway", "payment", "payment-payment.db"}
    code, out, _ = cli("check")
    assert (code, {row.partition("[")[2] for row in out.splitlines() if row.startswith("error")}) == (1, {"no-owner]"})
    (workspace / "catalog" / "observed.yaml").write_text("kind: Component\nmetadata: {name: -}\n")
    code, _, err = cli("check")
    assert (code, "catalog/observed.yaml:2: metadata.name" in err, "'apiVersion' is needed" in err) == (2, True, True)


def test_a_failing_payment_provider_is_named_and_its_owner_told(
    firing_range: Callable[..., Any], with_catalog: Callable[[Any], Path], workspace: Path
) -> None:
    topology = shop_topology().model_dump(mode="json", by_alias=True, exclude_unset=True)
    topology["third_parties"]["payment-api"]["operations"]["charge"]["error_rate"] = 0.5
    with firing_range(topology=type(shop_topology()).model_validate(topology)) as r:
        _, folder = r.fire(bullets=20, concurrency=4, control=True)
        path = with_catalog(r.shop)
        (address,) = r.shop.system().third_parties
        system = r.shop.system()
    catalog: Catalog = load_catalog(path.parents[1])
    with DuckEngine(folder.spans) as engine:
        prepare(engine, system)
        causes, bad = find_causes(engine, catalog)
        contrasts, examples = find_contrasts(engine), choose_examples(engine, causes)
    (cause,) = causes
    assert 1 <= bad < 20
    assert (cause.service, cause.caller, cause.peer, cause.traces) == (address, "payment", True, bad)
    assert cause.owner == "group:default/payments"
    assert cause.error == "503"
    assert cause.path[0].startswith("tracer-bullet ")
    assert [step.partition(" ")[0] for step in cause.path if " " in step][-1] == "payment"
    assert cause.example_trace_ids[0] in {e.trace_id for e in examples}
    assert not any(c.attribute.startswith(("error", "http.status", "http.response.status")) for c in contrasts)
