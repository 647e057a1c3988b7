"""Topology files: our YAML or Spigo's architecture JSON in, YAML out. Reads and returns; writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tracer_bullet.workspace.load import load_document
from tracer_bullet.workspace.spigo import SpigoArchitecture, is_spigo, topology_of_spigo
from tracer_bullet.workspace.topology import Topology


def load_topology(path: Path) -> Topology:
    """The topology in the file at `path`, ours or Spigo's. Raises WorkspaceError with every mistake found."""
    if is_spigo(path):
        return topology_of_spigo(load_document(path, SpigoArchitecture))
    return load_document(path, Topology)


def topology_yaml(topology: Topology, comments: Iterable[str] = ()) -> str:
    """A topology as YAML that loads as the same topology; `comments` stand above it."""
    plain = topology.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    body = yaml.dump(
        {"version": 1, **_shortened(plain)}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120
    )
    head = "".join(f"# {' '.join(comment.split())}\n" for comment in comments)
    return head + str(body)


class _Dumper(yaml.SafeDumper):
    """Short lists and maps on one line, as people write topologies."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        return super().represent_mapping(tag, mapping, flow_style=_is_short(mapping) or flow_style)

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style=_is_short(sequence) or flow_style)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _is_short(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    flat = all(not isinstance(x, (dict, list)) or (len(x) <= 2 and _is_short(x)) for x in inner)
    return flat and len(str(value)) <= 100


def _shortened(value: Any) -> Any:
    """A latency that is a number as the number, a column that is a type as the type."""
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _shortened(one) for key, one in value.items()}
    latency = made.get("latency_ms")
    if isinstance(latency, dict) and set(latency) == {"constant"}:
        made["latency_ms"] = latency["constant"]
    columns = made.get("columns")
    if isinstance(columns, dict):
        made["columns"] = {
            name: one["type"] if isinstance(one, dict) and set(one) == {"type"} else one
            for name, one in columns.items()
        }
    return made
