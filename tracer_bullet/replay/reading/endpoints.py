"""Which endpoint a path belongs to: `GET /orders/17` is `GET /orders/{}`.

Two steps. By a segment's own look: numbers, UUIDs, hashes, dates and tokens become `{}`, always. By number: a place
with too many different segments is folded to `{}` as they are seen, so that memory is bounded whatever was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

ANY: Final = "{}"
# How many different segments one place may have before they are folded. The first segment names resources, so it
# may have so many times more.
_FOLD: Final = 24
_FIRST: Final = 8
_MOST_ENDPOINTS: Final = 5_000
_MOST_SEGMENTS: Final = 24
_CACHED: Final = 50_000

_ID: Final = re.compile(
    r"""
    [-+]?\d+(?:[.,:;x_-]\d+)*                                   # numbers, coordinates, sizes, dates, times
    | \d{4}-?\d\d(?:-?\d\d)?(?:[T_ ]|%20)?[\d:.%A-Za-z+-]*      # dates and moments
    | \{?[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}\}?   # UUID
    | (?=[a-fA-F]*\d)[0-9a-fA-F]{7,}                            # hashes
    | tbp_[a-z2-7]{24}                                          # pseudonyms that redaction gave
    | [A-Za-z]{1,16}[-_:.~]\d+                                  # order-17
    | [A-Za-z]{1,16}[-_:](?=[A-Za-z]*\d)[0-9A-Za-z]{8,}         # cus_9s6XKzkNRiz8i3
    | eyJ[\w-]{5,}\.[\w.-]+                                      # JSON Web Tokens
    | (?=[a-z]*[A-Z])(?=[A-Z]*[a-z])[A-Za-z]{24,}               # random letters
    | [^@/]+(?:@|%40)[^@/]+\.[^@/]+                             # e-mail addresses
    """,
    re.VERBOSE,
)
_TOKEN: Final = re.compile(r"[0-9A-Za-z_.~%=-]{10,}")
_TURNS: Final = re.compile(r"\d(?=[A-Za-z])|[A-Za-z](?=\d)")
_FILE: Final = re.compile(r"(.+)\.([A-Za-z][A-Za-z0-9]{0,4})")
_VERSION: Final = re.compile(r"[vV]\d+(?:\.\d+)*")


@lru_cache(maxsize=65_536)
def fold_segment(segment: str) -> str:
    """The segment, or `{}` when it looks like a value; of a file's name the parts that do."""
    if _VERSION.fullmatch(segment):
        return segment
    if (file := _FILE.fullmatch(segment)) is not None:
        parts = [ANY if looks_like_value(part) else part for part in file[1].split(".")]
        if ANY in parts:
            return ".".join([*parts, file[2]])
    return ANY if looks_like_value(segment) else segment


def looks_like_value(text: str) -> bool:
    """Whether a text is an identifier rather than a word: it has the form of one, or letters and digits alternate."""
    if _ID.fullmatch(text):
        return True
    return _TOKEN.fullmatch(text) is not None and len(_TURNS.findall(text)) >= 4


def _at(server: str) -> str:
    return f" @{server}" if server else ""


class _Node:
    __slots__ = ("below", "folded", "numbers")

    def __init__(self) -> None:
        self.folded = False
        self.below: dict[str, _Node] = {}
        self.numbers: dict[str, int] = {}  # method → number


class Endpoints:
    """A growing table of endpoints. Numbers that were handed out stay valid: `current` says which one they are now."""

    def __init__(self) -> None:
        self._roots: dict[str, _Node] = {}  # by where they go
        self._rpcs: dict[tuple[str, str], int] = {}
        self._into: list[int] = []  # number → number that took it over, or itself
        self._cache: dict[tuple[str, str, str], int] = {}
        self._fold = _FOLD
        self._count = 0

    def __len__(self) -> int:
        return len(self._into)

    def number(self, method: str, target: str, *, rpc: bool = False, server: str = "") -> int:
        """The number of the endpoint of a request target. `rpc`: its path is a gRPC method and stays as it is.

        `server`: where it goes when that is not the replay's target; each has endpoints of its own.
        """
        path = target.partition("?")[0]
        key = (method, path, server)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            found = self._rpc(path, server) if rpc else self._learn(method, path, server)
            self._cache[key] = found
        return found

    def current(self, number: int) -> int:
        """The number that stands for `number` after what was folded."""
        while self._into[number] != number:
            number = self._into[number]
        return number

    def names(self) -> dict[int, tuple[str, str]]:
        """Current number → (method, path template, with ` @server` behind it), in the order of the paths."""
        found = {number: ("POST", f"{path}{_at(server)}") for (path, server), number in self._rpcs.items()}
        stack = [(root, "", server) for server, root in self._roots.items()]
        while stack:
            node, path, server = stack.pop()
            for method, number in node.numbers.items():
                found[number] = (method, f"{path or '/'}{_at(server)}")
            stack.extend((child, f"{path}/{name}", server) for name, child in node.below.items())
        return dict(sorted(found.items(), key=lambda item: (item[1][1], item[1][0])))

    def _new(self) -> int:
        self._into.append(len(self._into))
        self._count += 1
        return len(self._into) - 1

    def _rpc(self, path: str, server: str) -> int:
        key = (path, server)
        if key not in self._rpcs:
            self._rpcs[key] = self._new()
        return self._rpcs[key]

    def _learn(self, method: str, path: str, server: str) -> int:
        node = self._roots.get(server)
        if node is None:
            node = self._roots[server] = _Node()
        segments = path.split("/")[1:]
        if len(segments) > _MOST_SEGMENTS:
            segments = [*segments[:_MOST_SEGMENTS], ANY]
        for depth, segment in enumerate(segments):
            name = fold_segment(segment)
            below = node.below
            child = below.get(name)
            if child is None:
                child = self._child(node, name, depth)
            node = child
        number = node.numbers.get(method)
        if number is None:
            number = node.numbers[method] = self._new()
            if self._count > _MOST_ENDPOINTS:
                self._fold_harder()
                number = self.current(number)
        return number

    def _child(self, node: _Node, name: str, depth: int) -> _Node:
        below = node.below
        if node.folded:
            return below[ANY]
        below[name] = _Node()
        if len(below) - (ANY in below) > self._most(depth):
            self._fold_node(node)
            return node.below[ANY]
        return below[name]

    def _most(self, depth: int) -> int:
        return self._fold if depth else self._fold * _FIRST

    def _fold_node(self, node: _Node) -> None:
        """Make one of all that is below a place."""
        merged = _Node()
        for child in node.below.values():
            self._merge(merged, child)
        node.below = {ANY: merged}
        node.folded = True
        self._cache.clear()

    def _merge(self, into: _Node, node: _Node) -> None:
        stack = [(into, node)]
        while stack:
            to, source = stack.pop()
            for method, number in source.numbers.items():
                if method in to.numbers:
                    self._into[number] = to.numbers[method]
                    self._count -= 1
                else:
                    to.numbers[method] = number
            to.folded = to.folded or source.folded
            for name, child in source.below.items():
                if name in to.below:
                    stack.append((to.below[name], child))
                else:
                    to.below[name] = child

    def _fold_harder(self) -> None:
        """Halve what a place may have, and fold again: the table stays bounded whatever paths there are."""
        while self._count > _MOST_ENDPOINTS // 2 and self._fold > 1:
            self._fold //= 2
            for node, depth in self._nodes():
                if len(node.below) > self._most(depth):
                    self._fold_node(node)

    def _nodes(self) -> Iterator[tuple[_Node, int]]:
        stack = [(root, 0) for root in self._roots.values()]
        while stack:
            node, depth = stack.pop()
            yield node, depth
            stack.extend((child, depth + 1) for child in node.below.values())
