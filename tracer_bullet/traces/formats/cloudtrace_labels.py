"""Google Cloud Trace's labels in OpenTelemetry's names.

Sources: Cloud Trace's documentation of labels ("Trace span labels"), and the tables of Google's OpenTelemetry
exporters (attributes to labels, and `g.co/r/<type>/<label>` for the monitored resource), read backwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

LABELS: Final = {
    "/http/client_protocol": "network.protocol.version",
    "/http/host": "server.address",
    "/http/method": "http.request.method",
    "/http/path": "url.path",
    "/http/request/size": "http.request.body.size",
    "/http/response/size": "http.response.body.size",
    "/http/route": "http.route",
    "/http/status_code": "http.response.status_code",
    "/http/url": "url.full",
    "/http/user_agent": "user_agent.original",
    "/error/message": "exception.message",
    "/error/name": "exception.type",
    "/stacktrace": "exception.stacktrace",
}
_RESOURCE: Final = re.compile(r"g\.co/r/([^/]+)/(.+)")
_PLACES: Final = {
    "project_id": "cloud.account.id",
    "zone": "cloud.availability_zone",
    "region": "cloud.region",
    "location": "cloud.region",
    "cluster_name": "k8s.cluster.name",
    "namespace_name": "k8s.namespace.name",
    "namespace": "service.namespace",
    "pod_name": "k8s.pod.name",
    "container_name": "k8s.container.name",
    "node_name": "k8s.node.name",
    "node_id": "host.id",
    "instance_id": "host.id",
    "task_id": "service.instance.id",
    "revision_name": "faas.version",
    "version_id": "service.version",
}
# Which label is the service's name, the first that is there: its own word, then what the platform calls it.
SERVICES: Final = (
    "service.name",
    "g.co/r/generic_task/job",
    "g.co/r/cloud_run_revision/service_name",
    "g.co/r/gae_app/module_id",
    "g.co/gae/app/module",
    "g.co/r/cloud_function/function_name",
    "g.co/r/k8s_container/container_name",
)
_VERSIONS: Final = {"g.co/gae/app/version": "service.version", "service.version": "service.version"}
_OWN: Final = ("service.", "telemetry.", "cloud.", "host.", "k8s.", "container.", "faas.version", "process.", "os.")


def service_of(labels: Mapping[str, str]) -> str:
    """The service that a span's labels name; empty for none."""
    return next((name for key in SERVICES if (name := labels.get(key))), "")


def parted(labels: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(span attributes, resource attributes) of labels; what is no label of Google's keeps its name."""
    attributes: dict[str, str] = {}
    resource: dict[str, str] = {}
    for key, value in labels.items():
        found = _RESOURCE.fullmatch(key)
        if found:
            resource.setdefault(_PLACES.get(found[2], f"gcp.{found[1]}.{found[2]}"), value)
            resource.setdefault("cloud.provider", "gcp")
        elif key in _VERSIONS:
            resource[_VERSIONS[key]] = value
        elif key.startswith(_OWN):
            resource[key] = value
        else:
            attributes[LABELS.get(key, key)] = value
    return attributes, resource
