"""Claim: Backstage's descriptors are read as Backstage reads them, and every mistake is told at once, with its line."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.errors import Problem, WorkspaceError
from tracer_bullet.model import Catalog, CatalogLink, Entity
from tracer_bullet.workspace.catalog import load_catalog
from tracer_bullet.workspace.refs import entity_name, parse_ref, ref_of, short_ref

CART = """\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: cart
  description: What a customer wants
  annotations:
    tracer-bullet/service: shop-cart
    tracer-bullet/reviewed: 2026-08-01
    tracer-bullet/review-every: 26w
    pagerduty.com/service-id: PX1
    github.com/project-slug: example/cart
  links:
    - {url: https://runbooks.example.com/cart, title: Runbook, type: runbook, icon: docs}
    - url: https://dashboards.example.com/cart
spec:
  type: service
  lifecycle: production
  owner: web
  system: shop
  providesApis: [cart-api]
  dependsOn:
    - Component:Stock
    - resource:data/Orders
    - resource:data/orders
"""
REST = """\
# others
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: web, annotations: {tracer-bullet/on-call: "#web"}}
spec: {type: team, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: stock}
spec: {type: service, lifecycle: production, owner: "group:web", dependsOn: }
...
%YAML 1.2
---
# a document of comments alone
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: {name: orders, namespace: data}
spec: {type: database, owner: user:ann, dependencyOf: [component:default/stock]}
--- {apiVersion: backstage.io/v1alpha1, kind: System, metadata: {name: shop}, spec: {owner: web}}
---
apiVersion: example.com/v2
kind: Rocket
metadata: [this, is, not, ours]
---
apiVersion: backstage.io/v1alpha1
kind: Location
spec: {targets: [./other.yaml]}
"""


def write(workspace: Path, **files: str) -> Path:
    (workspace / "catalog").mkdir(exist_ok=True)
    for name, text in files.items():
        (workspace / "catalog" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return workspace


def mistakes(workspace: Path) -> list[str]:
    with pytest.raises(WorkspaceError) as caught:
        load_catalog(workspace)
    assert caught.value.code == "TB520"
    return [f"{p.file}:{p.line}: {p.message}{f' ({p.cure})' if p.cure else ''}" for p in caught.value.problems]


def test_everything_that_is_read(tmp_path: Path) -> None:
    found = load_catalog(write(tmp_path, cart=CART, rest=REST))
    assert found == Catalog(
        entities=(
            Entity(
                ref="component:default/cart",
                name="cart",
                service="shop-cart",
                owner="group:default/web",
                on_call="PagerDuty service PX1",
                description="What a customer wants",
                lifecycle="production",
                system="system:default/shop",
                depends_on=("component:default/stock", "resource:data/orders"),
                depends_at=("catalog/cart.yaml:22", "catalog/cart.yaml:23"),
                links=(
                    CatalogLink(url="https://runbooks.example.com/cart", title="Runbook", kind="runbook"),
                    CatalogLink(
                        url="https://dashboards.example.com/cart", title="https://dashboards.example.com/cart", kind=""
                    ),
                ),
                reviewed="2026-08-01",
                review_days=182,
                where="catalog/cart.yaml:4",
                type="service",
            ),
            Entity(
                ref="component:default/stock",
                name="stock",
                service="stock",
                owner="group:default/web",
                on_call="#web",
                lifecycle="production",
                depends_on=("resource:data/orders",),
                depends_at=("catalog/rest.yaml:20",),
                where="catalog/rest.yaml:10",
                type="service",
            ),
            Entity(
                ref="resource:data/orders",
                name="orders",
                service="orders",
                owner="user:data/ann",
                where="catalog/rest.yaml:19",
                type="database",
            ),
        ),
        owners=("group:default/web",),
        others=("system:default/shop",),
    )
    assert found.owner_of("SHOP-CART") == "group:default/web"
    assert found.owner_of("nobody") == ""


def test_no_folder_is_an_empty_catalog(tmp_path: Path) -> None:
    assert load_catalog(tmp_path) == Catalog()
    assert load_catalog(write(tmp_path, empty="")) == Catalog()


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    wrong = CART.replace("review-every: 26w", "review-every: often").replace("2026-08-01", "2026-02-30")
    wrong = wrong.replace("tracer-bullet/service: shop-cart", "tracer-bullet/servce: shop-cart")
    wrong = wrong.replace("owner: web", "owner: [web]")
    more = REST.replace("kind: Resource", "kind: Resurce").replace("name: stock", "name: -stock-")
    assert mistakes(write(tmp_path, cart=wrong, rest=more, text="just text\n", broken="a: [\n")) == [
        (
            "catalog/broken.yaml:2: no valid YAML: while parsing a flow node expected the node content, "
            "but found '<stream end>'"
        ),
        "catalog/cart.yaml:7: unknown annotation 'tracer-bullet/servce' (did you mean 'tracer-bullet/service'?)",
        "catalog/cart.yaml:8: must be a date as 2026-08-01, not '2026-02-30'",
        "catalog/cart.yaml:9: must be a time as 180d, 26w, 6m or 1y, not 'often'",
        "catalog/cart.yaml:18: must be a text, not a list",
        "catalog/rest.yaml:10: must be 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
        "catalog/rest.yaml:18: unknown kind 'Resurce' (did you mean 'Resource'?)",
        "catalog/text.yaml:1: must be a map of keys to values",
    ]


def test_references_that_are_none(tmp_path: Path) -> None:
    assert mistakes(write(tmp_path, cart=CART.replace("resource:data/Orders", "'resource:'"))) == [
        (
            "catalog/cart.yaml:23: 'resource:' is no reference to an entity "
            "(write [kind:][namespace/]name, as component:default/cart)"
        )
    ]


def test_two_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    twin = CART.replace("name: cart", "name: Cart")
    other = CART.replace("name: cart", "name: basket").replace("shop-cart", "Shop-Cart")
    assert mistakes(write(tmp_path, a=CART, b=twin, c=other)) == [
        "catalog/b.yaml:4: component:default/cart is described twice, first in catalog/a.yaml:4 (keep one of them)",
        (
            "catalog/c.yaml:7: 'shop-cart' is the name in spans of component:default/cart too (catalog/a.yaml:4) "
            "(give one of them an annotation `tracer-bullet/service:` of its own)"
        ),
    ]


@given(st.data())
def test_any_file_is_a_catalog_or_a_list_of_mistakes(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from((CART, REST)))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    middle = data.draw(st.text(max_size=8) | st.sampled_from(("[", "{", "~", "- ", ":", "\n---\n", "\ufeff", "&a *a")))
    changed = (text[:start] + middle + text[end:]).encode("utf-8", "ignore")
    with TemporaryDirectory() as folder:
        (Path(folder) / "catalog").mkdir()
        (Path(folder) / "catalog" / "a.yml").write_bytes(changed + data.draw(st.binary(max_size=3)))
        problems: tuple[Problem, ...] = ()
        try:
            load_catalog(Path(folder))
        except WorkspaceError as error:
            problems = error.problems
        assert all(p.file == "catalog/a.yml" and 1 <= p.line <= changed.count(b"\n") + 5 for p in problems)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("cart", "component:default/cart"),
        ("Group:Web", "group:default/web"),
        ("ns/cart", "component:ns/cart"),
        ("api:ns/Cart", "api:ns/cart"),
        ("ns/a:b", "component:ns/a:b"),
    ],
)
def test_references_as_backstage_reads_them(text: str, ref: str) -> None:
    assert ref_of(text, "component", "default") == ref
    assert ref_of(short_ref(ref), "component", "default") == ref


@given(st.text(max_size=20))
def test_any_text_is_a_reference_or_a_value_error(text: str) -> None:
    try:
        kind, namespace, name = parse_ref(text, "component", "default")
    except ValueError:
        return
    assert all((kind, namespace, name))


@given(st.text(max_size=120))
def test_names_are_such_as_backstage_takes(text: str) -> None:
    name = entity_name(text)
    assert 1 <= len(name) <= 63
    assert name.isascii()
    assert name[0].isalnum()
    assert name[-1].isalnum()
    assert all(c.isalnum() or c in "-_." for c in name)
    assert entity_name(name) == name


def test_long_names_stay_apart() -> None:
    assert entity_name("x" * 80) != entity_name("x" * 81)
    assert entity_name("orders.db") == "orders.db"
    assert entity_name("db:5432/orders") == "db-5432-orders"
