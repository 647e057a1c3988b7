"""One way to make a node, so that ids mean the same in the graph and in every table of figures."""

from __future__ import annotations

from tracer_bullet.model import Node, NodeKind
from tracer_bullet.model.attributes import HARNESS_SERVICE


def make_node(kind: str, name: str, system: str) -> Node:
    """The node of an edge's end (columns of the table `edge`)."""
    if kind == "service" and name == HARNESS_SERVICE:
        kind = "harness"
    # One name may stand for different things in two systems: a Kafka topic and a RabbitMQ queue.
    qualified = f"{system}/{name}" if system else name
    return Node(id=f"{kind}:{qualified}", name=name, kind=NodeKind(kind), system=system)
