"""Adding to `spec.dependsOn` of one entity in a YAML text, every other byte as it was. Pure.

Lines are put in at the places that the parser names, nothing is written anew; then both texts are read, and must
differ in that list alone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

import yaml

from tracer_bullet.errors import UsageError, WorkspaceError
from tracer_bullet.workspace.catalog import SERVICE, documents
from tracer_bullet.workspace.refs import ref_of, short_ref
from tracer_bullet.workspace.tree import read_tree, scalar_of

_LIST: Final = "dependsOn"
# YAML counts lines by these too, and people's editors do not.
_ODD_BREAKS: Final = "\r\x85\u2028\u2029"


def add_dependencies(text: str, ref: str, refs: Sequence[str], *, file: str) -> str:
    """`text` with `refs` added to the dependencies of the entity `ref`, which must be in it.

    Raises UsageError TB522 where the list cannot be added to without changing more, as behind an alias.
    """
    mark, text = text[: text.startswith("\ufeff")], text.removeprefix("\ufeff")
    for document in documents(text):
        root = yaml.compose(document, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode) or _ref(document, file) != ref:
            continue
        changed = _edit(text, root, [short_ref(r) for r in refs])
        if changed is None or not _only_added(text, changed, ref, refs, file):
            raise UsageError(
                "TB522",
                f"the dependencies of {ref} cannot be added to",
                where=f"{file}:{root.start_mark.line + 1}",
                why="the list is an alias, an anchor or otherwise shared",
                cure=f"add by hand: {', '.join(short_ref(r) for r in refs)}",
            )
        return mark + changed
    raise UsageError("TB522", f"{ref} is not in this file", where=file, cure="was it changed meanwhile? try again")


def entity_text(kind: str, name: str, service: str, type_: str, refs: Sequence[str]) -> str:
    """A new entity as a YAML document, to be put behind others. Who owns it is left to people."""
    lines = ["---", "apiVersion: backstage.io/v1alpha1", f"kind: {kind}", "metadata:", f"  name: {_scalar(name)}"]
    if service != name:
        lines += ["  annotations:", f"    {SERVICE}: {_scalar(service)}"]
    lines += ["spec:", f"  type: {type_}"]
    if kind == "Component":
        lines.append("  lifecycle: production")
    lines.append("  # owner: the group that is told when it breaks")
    if refs:
        lines += [f"  {_LIST}:", *(f"    - {short_ref(ref)}" for ref in refs)]
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> str:
    """A text as a YAML scalar that no version of YAML takes for anything else."""
    style = '"' if scalar_of(text) != text else None  # as `0E0`, a number in YAML 1.2 alone
    plain = yaml.safe_dump(
        text, default_flow_style=True, width=10**6, allow_unicode=True, default_style=style
    ).removesuffix("\n...\n")
    return plain.rstrip("\n")


def _edit(text: str, root: yaml.MappingNode, refs: list[str]) -> str | None:
    if any(c in text.replace("\r\n", "\n") for c in _ODD_BREAKS):
        return None
    lines = [f"{row}\n" for row in text.split("\n")]
    lines[-1] = lines[-1].removesuffix("\n")
    if not lines[-1]:
        lines.pop()
    end = "\r\n" if "\r\n" in text else "\n"
    spec = _entry(root, "spec")
    if spec is None:
        return _insert_block(lines, _last_line(root, lines), [f"spec:{end}", *_block(refs, 2, end, key=True)], end)
    key, value = spec
    if not isinstance(value, yaml.MappingNode):
        return _insert_block(lines, key.end_mark.line, _block(refs, key.start_mark.column + 2, end, key=True), end)
    found = _entry(value, _LIST)
    if found is not None:
        return _extend(lines, found[0], found[1], refs, end)
    if value.flow_style:
        return _in_flow(lines, value, f"{_LIST}: [{', '.join(refs)}]")
    place, column = _place_in(value)
    return _insert_block(lines, place, _block(refs, column, end, key=True), end)


def _extend(lines: list[str], key: yaml.Node, value: yaml.Node, refs: list[str], end: str) -> str | None:
    if isinstance(value, yaml.SequenceNode):
        if value.flow_style:
            return _in_flow(lines, value, ", ".join(refs))
        last = value.value[-1].end_mark
        line = last.line - 1 if last.column == 0 else last.line
        return _insert_block(lines, line, [f"{' ' * value.start_mark.column}- {ref}{end}" for ref in refs], end)
    if isinstance(value, yaml.ScalarNode) and value.value == "":
        return _insert_block(lines, key.end_mark.line, _block(refs, key.start_mark.column + 2, end), end)
    return None


def _in_flow(lines: list[str], value: yaml.CollectionNode, added: str) -> str:
    if value.value:
        last = value.value[-1]
        mark = (last[1] if isinstance(last, tuple) else last).end_mark
        line, column, added = mark.line, mark.column, f", {added}"
    else:
        line, column = value.end_mark.line, value.end_mark.column - 1
    row = lines[line]
    lines[line] = row[:column] + added + row[column:]
    return "".join(lines)


def _block(refs: list[str], column: int, end: str, *, key: bool = False) -> list[str]:
    """Lines of a block sequence at a column, with its key before it when asked."""
    head = [f"{' ' * column}{_LIST}:{end}"] if key else []
    return [*head, *(f"{' ' * (column + 2 if key else column)}- {ref}{end}" for ref in refs)]


def _insert_block(lines: list[str], after: int, block: list[str], end: str) -> str:
    """`block` behind the line `after` (from 0; −1: before the first)."""
    if after >= 0 and not lines[after].endswith("\n"):
        lines[after] += end
        block[-1] = block[-1].removesuffix(end)
    return "".join([*lines[: after + 1], *block, *lines[after + 1 :]])


def _place_in(spec: yaml.MappingNode) -> tuple[int, int]:
    """The line to add a key behind, and the column: the last key with a value beside it, else before the first key."""
    first = spec.value[0][0].start_mark
    for key, value in reversed(spec.value):
        if (
            isinstance(value, yaml.ScalarNode)
            and value.style not in ("|", ">")
            and value.value
            and key.start_mark.line == value.start_mark.line == value.end_mark.line
        ):
            return key.start_mark.line, first.column
    return first.line - 1, first.column


def _last_line(root: yaml.MappingNode, lines: list[str]) -> int:
    """The last line of a document that is not blank."""
    stop = next((i for i in range(root.start_mark.line, len(lines)) if lines[i].startswith(("---", "..."))), len(lines))
    return max(i for i in range(root.start_mark.line, stop) if lines[i].strip())


def _entry(mapping: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((key, value) for key, value in mapping.value if key.value == name), None)


def _ref(document: str, file: str) -> str:
    return _ref_of_value(read_tree(document.encode(), file).value)


def _ref_of_value(value: Any) -> str:
    meta = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(meta, dict) or not isinstance(value.get("kind"), str):
        return ""
    name, namespace = str(meta.get("name") or ""), str(meta.get("namespace") or "default")
    return ref_of(f"{value['kind']}:{namespace}/{name}", "component", "default") if name else ""


def _only_added(before: str, after: str, ref: str, refs: Sequence[str], file: str) -> bool:
    """Whether nothing differs but that the entity's list is longer by `refs`."""
    try:
        old, new = ([read_tree(d.encode(), file).value for d in documents(text)] for text in (before, after))
    except WorkspaceError:
        return False
    wanted = copy.deepcopy(old)
    for value in wanted:
        if _ref_of_value(value) == ref:
            spec = value["spec"] = value.get("spec") or {}
            spec[_LIST] = [*(spec.get(_LIST) or []), *map(short_ref, refs)]
    return wanted == new
