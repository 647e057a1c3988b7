"""The one loader of YAML documents: a file in, a frozen model out, or every mistake with its line.

`Document` is the base of a whole file, `Spec` of its parts. Reads one file; nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import pydantic

from tracer_bullet.errors import Problem, WorkspaceError
from tracer_bullet.workspace.environment import expand
from tracer_bullet.workspace.mistakes import Mistake, MistakesError, explain, suggest
from tracer_bullet.workspace.tree import MAX_BYTES, Tree, read_tree

__all__ = ["Document", "Located", "Mistake", "MistakesError", "Spec", "load_document", "load_located"]


class Spec(pydantic.BaseModel):
    """Base of the parts of a document. Frozen; unknown keys, NaN and infinities are mistakes.

    A validator may raise ValueError with a message for people, or `MistakesError` to point at keys below it.
    """

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )


class Document(Spec):
    """Base of a whole YAML file. `version` is that of the file's format."""

    version: Literal[1]
    """Version of this file format."""

    @classmethod
    def mistakes_in(cls, tree: Any) -> Iterable[Mistake]:
        """MistakesError across parts that are told beside those of the model, so that people see all at once.

        `tree` is the file as plain values, of any shape: nothing has been validated.
        """
        del tree
        return ()


M = TypeVar("M", bound=Document)
M_co = TypeVar("M_co", bound=Document, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Located(Generic[M_co]):
    """A document and where each part of it stands. `lines`: dotted path → line, counted from 1."""

    value: M_co
    file: str
    lines: Mapping[str, int]

    def line(self, path: str) -> int:
        """The line of a dotted path, as `steps.0.expect.status`, or of its nearest part that is written."""
        return line_of(self.lines, path)

    def where(self, path: str) -> str:
        """`file:line` of a dotted path."""
        return f"{self.file}:{self.line(path)}"


def load_document(path: Path, model: type[M]) -> M:
    """The document in the file at `path`. Raises WorkspaceError with every mistake found."""
    return load_located(path, model).value


def load_located(path: Path, model: type[M], *, environ: Mapping[str, str] | None = None) -> Located[M]:
    """The document in the file at `path`, with its lines.

    With `environ`, `${NAME}` and `${NAME:-default}` in values are replaced from it. Raises
    WorkspaceError with every mistake found: in the YAML, in the variables, in the values.
    """
    file = str(path)
    return parse_located(_read(path), model, file=file, environ=environ)


def parse_located(data: bytes, model: type[M], *, file: str, environ: Mapping[str, str] | None = None) -> Located[M]:
    """What `load_located` does, from bytes; `file` is the name to put on problems."""
    tree = read_tree(data, file)
    value, mistakes = (tree.value, []) if environ is None else expand(tree.value, environ)
    if not isinstance(value, dict):
        raise WorkspaceError((Problem(file=file, line=1, path="", message="the file must be a map of keys to values"),))
    mistakes.extend(model.mistakes_in(value))
    try:
        document = model.model_validate(value)
    except pydantic.ValidationError as error:
        mistakes.extend(explain(error, model, value))
    if mistakes:
        raise WorkspaceError(_problems(mistakes, tree, file))
    return Located(value=document, file=file, lines=tree.lines)


def line_of(lines: Mapping[str, int], path: str) -> int:
    """The line of `path`, or of its nearest part that is written; 1 when none is."""
    while path not in lines and path:
        path = path.rpartition(".")[0]
    return lines.get(path, 1)


def _problems(mistakes: Iterable[Mistake], tree: Tree, file: str) -> tuple[Problem, ...]:
    rows = {
        Problem(file=file, line=line_of(tree.lines, m.path), path=m.path, message=m.message, cure=m.cure)
        for m in mistakes
    }
    return tuple(sorted(rows, key=lambda p: (p.line, p.path, p.message)))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        message, cure = "there is no such file", _other_file(path)
    except IsADirectoryError:
        message, cure = "this is a folder, not a file", "name a file inside it"
    except (OSError, ValueError) as error:
        message, cure = f"the file cannot be read: {getattr(error, 'strerror', None) or error}", ""
    raise WorkspaceError((Problem(file=str(path), line=1, path="", message=message, cure=cure),))


def _other_file(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except OSError:
        return ""
    return suggest(path.name, names)
