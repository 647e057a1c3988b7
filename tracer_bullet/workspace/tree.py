"""YAML text to plain JSON values with the line of every key. Pure: bytes in, a tree or problems out.

The dialect is the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), which
editors and JSON Schema use too: `no`, `on` and `2026-01-01` are text, `017` is text, there are no
tags and no merge keys. Anchors and aliases are read, but bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tracer_bullet.errors import Problem, WorkspaceError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 20_000

_TAG = "tag:yaml.org,2002:"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """`value`: dicts with text keys, lists and scalars. `lines`: dotted path → line, counted from 1."""

    value: Any
    lines: Mapping[str, int]


class _BoundError(Exception):
    """The document passes a bound of this module; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Composes nodes only, with the resolvers of YAML 1.2 and bounds on depth and number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape
    depth = 0
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH:
            raise _BoundError(f"nested deeper than {MAX_DEPTH} levels", self.line + 1)
        if self.nodes > 2 * MAX_NODES:  # a key is a node too
            raise _BoundError(f"more than {MAX_NODES:,} values", self.line + 1)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    f"{_TAG}int",
    re.compile(r"^(?:[-+]?(?:0|[1-9][0-9]{0,17})|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,16})$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"^[-+]?(?=[.0-9]*[.eE])(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,9})?$"),
    list("-+.0123456789"),
)


def read_tree(data: bytes, file: str) -> Tree:
    """The tree that a YAML file's bytes say; `file` is the name to put on problems.

    Raises WorkspaceError for what is no YAML, with the line; for duplicate keys, tags and merge
    keys, all of them at once; and for files past the bounds of this module.
    """
    root = _compose(_text(data, file), file)
    if root is None:
        raise _error(file, 1, "the file is empty", "write at least `version: 1`")
    walk = _Walk(file)
    value = walk.value(root, "")
    if walk.problems:
        raise WorkspaceError(tuple(walk.problems))
    return Tree(value=value, lines=walk.lines)


def scalar_of(text: str) -> Any:
    """The value that a plain (unquoted) YAML scalar of this text has, as `8080` or `true`."""
    for tag, pattern in _Loader.yaml_implicit_resolvers.get(text[:1], []):
        if pattern.match(text):
            return _SCALARS[tag](text)
    return text


def _text(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise _error(file, 1, f"the file has {len(data):,} bytes, more than {MAX_BYTES:,}", "split it")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error(file, line, "the text is not UTF-8", "save the file as UTF-8") from None


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except _BoundError as error:
        raise _error(file, error.line, str(error), "split the file") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _error(file, line, f"the character {error.character!r} is not allowed in YAML", "remove it") from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, file) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # chr() of a bad escape in PyYAML's scanner
        raise _error(file, 1, f"no valid YAML: {error}") from None


def _syntax_error(error: yaml.MarkedYAMLError, file: str) -> WorkspaceError:
    mark = error.problem_mark or error.context_mark
    said = " ".join(str(part) for part in (error.context, error.problem) if part)
    cure = ""
    if "'\\t'" in said:
        cure = "indent with spaces; YAML allows no tabs there"
    elif "mapping values are not allowed" in said:
        cure = "check the indentation, and quote a text that holds `: `"
    elif "expected a single document" in said:
        cure = "remove the `---` between documents; a file holds one"
    return _error(file, mark.line + 1 if mark else 1, f"no valid YAML: {said}", cure)


def _error(file: str, line: int, message: str, cure: str = "") -> WorkspaceError:
    return WorkspaceError((Problem(file=file, line=line, path="", message=message, cure=cure),))


def _int(text: str) -> int:
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


_SCALARS: dict[str, Callable[[str], Any]] = {
    f"{_TAG}str": str,
    f"{_TAG}int": _int,
    f"{_TAG}float": float,
    f"{_TAG}bool": lambda text: text.lower() == "true",
    f"{_TAG}null": lambda _: None,
}


@dataclass
class _Walk:
    """One pass over the nodes of a document: values, lines, problems."""

    file: str
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0
    open_ids: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, path: str) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _error(self.file, line, f"more than {MAX_NODES:,} values once aliases are written out")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self.open_ids:
            raise _error(self.file, line, "an alias refers to the value that it is part of", "write the value out")
        self.open_ids.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self.value(child, _join(path, str(i))) for i, child in enumerate(node.value)]
            self._tell(node, path, f"the tag {node.tag!r} is not supported", "remove the tag")
            return None
        finally:
            self.open_ids.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._tell(key_node, path, "a key must be a text", "quote it if it begins with a bracket or brace")
                continue
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            here = _join(path, key)
            if key in found:
                self._tell(key_node, here, f"{key!r} is given twice, first in line {first[key]}", "keep one of them")
                continue
            if key == "<<" and key_node.style is None:
                self._tell(key_node, here, "merge keys (`<<`) are not supported", "write the keys out")
                continue
            if _SURROGATE.search(key):
                self._tell(key_node, path, "half of a surrogate pair is no character", "write the character itself")
                continue
            self.lines.setdefault(here, line)
            first[key] = line
            found[key] = self.value(value_node, here)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        make = _SCALARS.get(node.tag)
        if make is None:
            self._tell(node, path, f"the tag {node.tag!r} is not supported", "remove the tag")
            return None
        try:
            value = make(node.value)
        except ValueError:
            self._tell(node, path, f"{node.value[:40]!r} does not fit its tag", "remove the tag")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._tell(node, path, f"{node.value} is too large for a number")
        if isinstance(value, str) and _SURROGATE.search(value):
            self._tell(node, path, "half of a surrogate pair is no character", "write the character itself")
        return value

    def _tell(self, node: yaml.Node, path: str, message: str, cure: str = "") -> None:
        line = node.start_mark.line + 1
        self.problems.append(Problem(file=self.file, line=line, path=path, message=message, cure=cure))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
