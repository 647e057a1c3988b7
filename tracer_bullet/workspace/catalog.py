"""The catalog: `catalog/*.yaml` in Backstage's descriptor format, read into the model's `Catalog`.

The format: https://backstage.io/docs/features/software-catalog/descriptor-format. Kinds and keys that we have no use
for belong to others and are passed over; what we read is checked, and every mistake of all files is told at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import pydantic

from tracer_bullet.errors import Problem, WorkspaceError
from tracer_bullet.model import Catalog, CatalogLink, Entity
from tracer_bullet.workspace.load import line_of
from tracer_bullet.workspace.mistakes import Mistake, MistakesError, explain, suggest
from tracer_bullet.workspace.refs import LONGEST_NAME, parse_ref, ref_of
from tracer_bullet.workspace.tree import MAX_BYTES, Tree, read_tree

FOLDER: Final = "catalog"
SERVICE: Final = "tracer-bullet/service"
ON_CALL: Final = "tracer-bullet/on-call"
REVIEWED: Final = "tracer-bullet/reviewed"
REVIEW_EVERY: Final = "tracer-bullet/review-every"
DEFAULT_REVIEW_DAYS: Final = 180
OURS: Final = (SERVICE, ON_CALL, REVIEWED, REVIEW_EVERY)
_KINDS: Final = ("Component", "Resource", "System", "API", "Group", "User", "Domain", "Location", "Template")
_DAYS: Final = {"d": 1, "w": 7, "m": 30, "y": 365}


def _name(value: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", value) or len(value) > LONGEST_NAME:
        raise ValueError("must be 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends")
    return value


def _namespace(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", value) or len(value) > LONGEST_NAME:
        raise ValueError("must be 1 to 63 lower-case letters, digits and `-`, with a letter or digit at both ends")
    return value


class _Part(pydantic.BaseModel):
    """Like `Spec`, but unknown keys are somebody else's."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        """A key without a value is a key left out, as in Backstage."""
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


class _Link(_Part):
    url: str = pydantic.Field(min_length=1)
    title: str = ""
    type: str = ""


class _Metadata(_Part):
    name: Annotated[str, pydantic.AfterValidator(_name)]
    namespace: Annotated[str, pydantic.AfterValidator(_namespace)] = "default"
    description: str = ""
    annotations: dict[str, str] = pydantic.Field(default_factory=dict)
    links: tuple[_Link, ...] = ()

    @pydantic.field_validator("annotations")
    @classmethod
    def _ours(cls, value: dict[str, str]) -> dict[str, str]:
        found = list(_annotation_mistakes(value))
        if found:
            raise MistakesError(found)
        return value


class _Spec(_Part):
    type: str = ""
    lifecycle: str = ""
    owner: str = ""
    system: str = ""
    dependsOn: tuple[str, ...] = ()  # noqa: N815 - Backstage's own spelling
    dependencyOf: tuple[str, ...] = ()  # noqa: N815

    @pydantic.model_validator(mode="after")
    def _refs(self) -> _Spec:
        found = [_ref_mistake(key, getattr(self, key)) for key in ("owner", "system") if getattr(self, key)]
        for key in ("dependsOn", "dependencyOf"):
            found += [_ref_mistake(f"{key}.{i}", ref) for i, ref in enumerate(getattr(self, key))]
        told = [m for m in found if m is not None]
        if told:
            raise MistakesError(told)
        return self


class _Descriptor(_Part):
    apiVersion: str  # noqa: N815
    kind: str
    metadata: _Metadata
    spec: _Spec = _Spec()


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One document of a file, which is named relative to the workspace."""

    file: str
    ref: str
    descriptor: _Descriptor
    lines: Mapping[str, int]

    def where(self, path: str) -> str:
        """`file:line` of a dotted path."""
        return f"{self.file}:{line_of(self.lines, path)}"

    def refs(self, key: str, kind: str) -> list[str]:
        """The normalised refs of a list in `spec`."""
        return [ref_of(text, kind, self.namespace) for text in getattr(self.descriptor.spec, key)]

    @property
    def namespace(self) -> str:
        """The namespace that refs without one are in."""
        return self.descriptor.metadata.namespace


def load_catalog(workspace: Path) -> Catalog:
    """The catalog in `catalog/*.yaml` (and `.yml`) of the workspace folder; empty without such a folder.

    Raises WorkspaceError TB520 with every mistake of all files.
    """
    found: list[Described] = []
    problems: list[Problem] = []
    for path in catalog_files(workspace):
        for outcome in _read_file(path, f"{FOLDER}/{path.name}"):
            (found if isinstance(outcome, Described) else problems).append(outcome)  # type: ignore[arg-type]
    problems += _doubles(found)
    if problems:
        raise WorkspaceError(tuple(sorted(problems, key=lambda p: (p.file, p.line, p.path, p.message))), code="TB520")
    return _catalog(found)


def catalog_files(workspace: Path) -> list[Path]:
    """The files of a workspace's catalog, by name."""
    try:
        return sorted(p for p in (workspace / FOLDER).iterdir() if p.suffix in (".yaml", ".yml") and p.is_file())
    except OSError:
        return []


def documents(text: str) -> Iterator[str]:
    """Each YAML document of a file, with blank lines in place of the others, so that line numbers hold.

    `---` at the beginning of a line is a marker wherever it stands: no scalar may hold it
    (https://yaml.org/spec/1.2.2/#912-document-markers).
    """
    rows = text.split("\n")
    starts = [0, *(i for i, row in enumerate(rows) if re.match(r"---(?:\s|$)", row)), len(rows)]
    for first, last in pairwise(starts):
        part = [re.sub(r"^---", "", row) if i == 0 else row for i, row in enumerate(rows[first:last])]
        # `...` ends a document, and a line with % directs the next one.
        part = ["" if re.match(r"(?:\.\.\.\s*$|%)", row) else row for row in part]
        if any(row.strip() and not row.lstrip().startswith("#") for row in part):
            yield "\n".join([""] * first + part)


def _read_file(path: Path, file: str) -> Iterator[Described | Problem]:
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            read_tree(data, file)  # tells of the bound
        text = data.decode("utf-8-sig")
    except WorkspaceError as error:
        yield from error.problems
        return
    except (OSError, UnicodeDecodeError) as error:
        yield Problem(file=file, line=1, path="", message=f"the file cannot be read: {error}", cure="save it as UTF-8")
        return
    for document in documents(text):
        try:
            tree = read_tree(document.encode(), file)
        except WorkspaceError as error:
            yield from error.problems
            continue
        yield from _describe(tree, file)


def _describe(tree: Tree, file: str) -> Iterator[Described | Problem]:
    value = tree.value
    if not isinstance(value, dict):
        yield Problem(file=file, line=min(tree.lines.values()), path="", message="must be a map of keys to values")
        return
    kind, version = value.get("kind"), value.get("apiVersion")
    if isinstance(version, str) and not version.startswith("backstage.io/"):
        return
    mistakes: list[Mistake] = []
    if isinstance(kind, str) and kind not in _KINDS:
        guess = suggest(kind, _KINDS)
        if guess:
            mistakes.append(Mistake(path="kind", message=f"unknown kind {kind!r}", cure=guess))
        else:
            return
    elif kind in ("Domain", "Location", "Template"):
        # Nothing of theirs is used, and a Location has no name worth a mistake.
        return
    try:
        descriptor = _Descriptor.model_validate(value)
    except pydantic.ValidationError as error:
        mistakes += explain(error, _Descriptor, value)
    for m in dict.fromkeys(mistakes):
        yield Problem(file=file, line=line_of(tree.lines, m.path), path=m.path, message=m.message, cure=m.cure)
    if not mistakes:
        meta = descriptor.metadata
        ref = ref_of(f"{descriptor.kind}:{meta.namespace}/{meta.name}", "component", "default")
        yield Described(file=file, ref=ref, descriptor=descriptor, lines=tree.lines)


def _doubles(found: Iterable[Described]) -> Iterator[Problem]:
    refs: dict[str, Described] = {}
    services: dict[str, Described] = {}
    for one in found:
        first = refs.setdefault(one.ref, one)
        if first is not one:
            message = f"{one.ref} is described twice, first in {first.where('metadata.name')}"
            yield _problem(one, "metadata.name", message, "keep one of them")
            continue
        if one.descriptor.kind not in ("Component", "Resource"):
            continue
        name = _service(one).lower()
        # A service and a queue may have one name.
        other = services.setdefault(f"{one.descriptor.kind} {name}", one)
        if other is not one:
            message = f"{name!r} is the name in spans of {other.ref} too ({other.where('metadata.name')})"
            path = f"metadata.annotations.{SERVICE}"
            yield _problem(one, path, message, f"give one of them an annotation `{SERVICE}:` of its own")


def _problem(one: Described, path: str, message: str, cure: str) -> Problem:
    return Problem(file=one.file, line=line_of(one.lines, path), path=path, message=message, cure=cure)


def _service(one: Described) -> str:
    meta = one.descriptor.metadata
    return meta.annotations.get(SERVICE) or meta.name


def _catalog(found: list[Described]) -> Catalog:
    owners = {one.ref: one for one in found if one.descriptor.kind in ("Group", "User")}
    entities = {one.ref: _entity(one, owners) for one in found if one.descriptor.kind in ("Component", "Resource")}
    for one in found:
        for i, user in enumerate(one.refs("dependencyOf", "component")):
            entity = entities.get(user)
            if one.ref in entities and entity is not None and one.ref not in entity.depends_on:
                entities[user] = replace(
                    entity,
                    depends_on=(*entity.depends_on, one.ref),
                    depends_at=(*entity.depends_at, one.where(f"spec.dependencyOf.{i}")),
                )
    return Catalog(
        entities=tuple(entities[ref] for ref in sorted(entities)),
        owners=tuple(sorted(owners)),
        others=tuple(sorted(one.ref for one in found if one.ref not in entities and one.ref not in owners)),
    )


def _entity(one: Described, owners: Mapping[str, Described]) -> Entity:
    meta, spec = one.descriptor.metadata, one.descriptor.spec
    owner = ref_of(spec.owner, "group", one.namespace) if spec.owner else ""
    depends = {ref: i for i, ref in reversed(list(enumerate(one.refs("dependsOn", "component"))))}
    ordered = sorted(depends, key=lambda ref: depends[ref])
    reviewing = REVIEWED in meta.annotations or REVIEW_EVERY in meta.annotations
    return Entity(
        ref=one.ref,
        name=meta.name,
        service=_service(one),
        owner=owner,
        on_call=_on_call(meta) or (_on_call(owners[owner].descriptor.metadata) if owner in owners else ""),
        description=meta.description,
        lifecycle=spec.lifecycle,
        system=ref_of(spec.system, "system", one.namespace) if spec.system else "",
        depends_on=tuple(ordered),
        depends_at=tuple(one.where(f"spec.dependsOn.{depends[ref]}") for ref in ordered),
        links=tuple(CatalogLink(url=x.url, title=x.title or x.url, kind=x.type) for x in meta.links),
        reviewed=meta.annotations.get(REVIEWED, ""),
        review_days=_days(meta.annotations.get(REVIEW_EVERY, "")) or (DEFAULT_REVIEW_DAYS if reviewing else 0),
        type=spec.type,
        where=one.where("metadata.name"),
    )


def _on_call(meta: _Metadata) -> str:
    """Who is called: our annotation, or that of Backstage's PagerDuty plugin (whose integration key is not shown)."""
    given = meta.annotations.get(ON_CALL, "")
    if given:
        return given
    service = meta.annotations.get("pagerduty.com/service-id", "")
    if service:
        return f"PagerDuty service {service}"
    return "PagerDuty" if meta.annotations.get("pagerduty.com/integration-key") else ""


def _days(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,4})([dwmy])", text)
    return int(match[1]) * _DAYS[match[2]] if match else 0


def _annotation_mistakes(annotations: Mapping[str, str]) -> Iterator[Mistake]:
    for key, value in annotations.items():
        if key.startswith("tracer-bullet/") and key not in OURS:
            cure = suggest(key, OURS) or f"known: {', '.join(OURS)}"
            yield Mistake(path=key, message=f"unknown annotation {key!r}", cure=cure)
        elif key in OURS and not value.strip():
            yield Mistake(path=key, message="must not be empty", cure="remove it, or give a value")
        elif key == REVIEWED and not _is_date(value):
            yield Mistake(path=key, message=f"must be a date as 2026-08-01, not {value!r}")
        elif key == REVIEW_EVERY and not _days(value):
            yield Mistake(path=key, message=f"must be a time as 180d, 26w, 6m or 1y, not {value!r}")


def _is_date(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _ref_mistake(path: str, text: str) -> Mistake | None:
    try:
        parse_ref(text, "component", "default")
    except ValueError as error:
        return Mistake(path=path, message=str(error), cure="write [kind:][namespace/]name, as component:default/cart")
    return None
