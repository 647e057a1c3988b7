"""Claim: what sync adds stands in one list, and every other byte of the file is as it was."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracer_bullet.errors import UsageError
from tracer_bullet.workspace.catalog import documents
from tracer_bullet.workspace.catalog_edit import add_dependencies, entity_text
from tracer_bullet.workspace.tree import read_tree

NEW = ("component:default/pay", "resource:data/orders")
HEAD = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: cart}  # the cart\n"
OTHER = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: other\nspec:\n  dependsOn: [a]\n"


def edit(text: str) -> str:
    return add_dependencies(text, "component:default/cart", NEW, file="catalog/x.yaml")


@pytest.mark.parametrize(
    ("spec", "edited"),
    [
        (
            "spec:\n  dependsOn:   # ours\n  # first\n  - a  # why\n  - 'b'  # last\n\n  # tail\n  owner: x\n",
            ("spec:\n  dependsOn:   # ours\n  # first\n  - a  # why\n  - 'b'  # last\n  - component:pay\n"
            "  - resource:data/orders\n\n  # tail\n  owner: x\n"),
        ),
        (
            "spec:\n    dependsOn:\n        - a\n",
            "spec:\n    dependsOn:\n        - a\n        - component:pay\n        - resource:data/orders\n",
        ),
        ("spec: {dependsOn: [a, b], owner: x}\n",
         "spec: {dependsOn: [a, b, component:pay, resource:data/orders], owner: x}\n"),
        ("spec:\n  dependsOn: []  # none\n", "spec:\n  dependsOn: [component:pay, resource:data/orders]  # none\n"),
        ("spec:\n  dependsOn: [\n    a,  # one\n  ]\n",
         "spec:\n  dependsOn: [\n    a, component:pay, resource:data/orders,  # one\n  ]\n"),
        ("spec:\n  dependsOn:\n  owner: x\n",
         "spec:\n  dependsOn:\n    - component:pay\n    - resource:data/orders\n  owner: x\n"),
        ("spec:\n  type: service\n  owner: x # me\n  tags:\n    - t\n",
         ("spec:\n  type: service\n  owner: x # me\n  dependsOn:\n    - component:pay\n    - resource:data/orders\n"
         "  tags:\n    - t\n")),
        ("spec:\n  definition: |\n    dependsOn:\n      - no\n",
         ("spec:\n  dependsOn:\n    - component:pay\n    - resource:data/orders\n"
         "  definition: |\n    dependsOn:\n      - no\n")),
        ("spec: {owner: x}\n", "spec: {owner: x, dependsOn: [component:pay, resource:data/orders]}\n"),
        ("spec: {}\n", "spec: {dependsOn: [component:pay, resource:data/orders]}\n"),
        ("spec:\n  dependsOn:\n    - >-\n      a\n  owner: x\n",
         "spec:\n  dependsOn:\n    - >-\n      a\n    - component:pay\n    - resource:data/orders\n  owner: x\n"),
        ("spec:\n", "spec:\n  dependsOn:\n    - component:pay\n    - resource:data/orders\n"),
        ("", "spec:\n  dependsOn:\n    - component:pay\n    - resource:data/orders\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["alone", "between", "windows", "no end", "marked"])
def test_each_way_to_write_the_list(spec: str, edited: str, around: str) -> None:
    before, after = HEAD + spec, HEAD + edited
    if around == "between":
        before, after = (f"# top\n{OTHER}---\n{text}---\n{OTHER}" for text in (before, after))
    elif around == "windows":
        before, after = (text.replace("\n", "\r\n") for text in (before, after))
    elif around == "no end":
        before, after = before.removesuffix("\n"), after.removesuffix("\n")
    elif around == "marked":
        before, after = f"\ufeff{before}", f"\ufeff{after}"
    assert edit(before) == after


@pytest.mark.parametrize(
    "spec",
    [
        "x: &deps [a]\nspec:\n  dependsOn: *deps\n",
        "spec:\n  dependsOn: &deps\n    - a\n  more: *deps\n",
        "x: &spec {owner: a}\nspec: *spec\n",
        "spec:\n  dependsOn: ~\n",
        'spec:\n  dependsOn: [a]\nx: "a\u2028b"\n',
    ],
)
def test_what_cannot_be_added_to_is_refused(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        edit(HEAD + spec)
    assert caught.value.code == "TB522"
    assert "component:pay" in caught.value.cure


def test_an_entity_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="is not in this file"):
        add_dependencies(OTHER, "component:default/cart", NEW, file="catalog/x.yaml")


names = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
comments = st.sampled_from(("", "  # a: [b]", "  # - c"))


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A file of some entities in many ways of writing, and their names."""
    found = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    parts = []
    for name in found:
        step = " " * draw(st.integers(1, 4))
        rows = [f"kind: Component{draw(comments)}", "metadata:", f"{step}name: {name}", f"spec:{draw(comments)}"]
        rows += [f"{step}owner: {draw(names)}{draw(comments)}"]
        listed = draw(st.lists(names, max_size=3))
        if draw(st.booleans()):
            rows.append(f"{step}dependsOn: [{', '.join(listed)}]{draw(comments)}")
        elif listed:
            rows.append(f"{step}dependsOn:{draw(comments)}")
            inner = draw(st.sampled_from(("", "  ")))
            rows += [f"{step}{inner}- {ref}{draw(comments)}" for ref in listed]
        if draw(st.booleans()):
            rows += ["", f"{step}system: shop", "# end"]
        parts.append("\n".join(rows) + "\n")
    return "---\n".join(parts), found


@given(files(), st.data())
def test_only_that_list_grows_and_lines_stay(file: tuple[str, list[str]], data: st.DataObject) -> None:
    text, found = file
    name = data.draw(st.sampled_from(found))
    edited = add_dependencies(text, f"component:default/{name}", NEW, file="x")
    old, new = ([read_tree(d.encode(), "x").value for d in documents(t)] for t in (text, edited))
    for before, after in zip(old, new, strict=True):
        listed = before["spec"].pop("dependsOn", None) or []
        grown = after["spec"].pop("dependsOn", None) or []
        wanted = ["component:pay", "resource:data/orders"] if before["metadata"]["name"] == name else []
        assert grown == [*listed, *wanted]
        assert before == after
    gone = Counter(text.splitlines()) - Counter(edited.splitlines())
    assert gone.total() <= 1, "at most the line of a flow list changes"


@example(service="0E0", component=False)
@example(service="017", component=True)
@given(st.text(min_size=1, max_size=30).filter(str.isprintable), st.booleans())
def test_new_entities_can_be_read(service: str, component: bool) -> None:
    kind = "Component" if component else "Resource"
    (document,) = documents(entity_text(kind, "some-name", service, "service", ("component:default/a",)))
    value = read_tree(document.encode(), "x").value
    assert value["metadata"]["annotations"]["tracer-bullet/service"] == service
    assert value["spec"]["dependsOn"] == ["component:a"]
    assert "owner" not in value["spec"]
