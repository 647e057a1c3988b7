"""Claim: the manifests are what Kubernetes takes, name only what is there, and give nobody more than it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tracer_bullet.cli.load import command
from tracer_bullet.scenario import load_scenario
from tracer_bullet.workspace.settings import load_settings

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
OBJECTS = [
    found
    for name in KUSTOMIZATION["resources"]
    for found in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8"))
]


def named(kind: str) -> dict[str, Any]:
    return {o["metadata"]["name"]: o for o in OBJECTS if o["kind"] == kind}


JOBS = named("Job")
CONDUCTOR = JOBS["tracer-bullet-conductor"]["spec"]["template"]
WORKER = JOBS["tracer-bullet-workers"]["spec"]["template"]
PODS = [CONDUCTOR, WORKER]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def options(pod: dict[str, Any]) -> dict[str, Any]:
    """The command as our own command line understands it."""
    (container,) = pod["spec"]["containers"]
    program, name, *arguments = [*container["command"], *container["args"]]
    assert (program, name) == ("tracer-bullet", "load")
    with command.make_context("load", arguments) as context:
        return dict(context.params)


def walk(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for below in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from walk(below)


@pytest.mark.parametrize("version", ["1.31", "1.36"])
@pytest.mark.parametrize("found", OBJECTS, ids=lambda o: f"{o['kind']}-{o['metadata']['name']}")
def test_each_object_fits_its_schema(found: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(found, version, strict=True)


def test_a_mistake_would_be_seen() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**JOBS["tracer-bullet-workers"], "specs": {}}, "1.31", strict=True)


def test_the_kustomization_names_all_files_and_no_others() -> None:
    listed = {*KUSTOMIZATION["resources"], "kustomization.yaml"}
    assert {p.name for p in FOLDER.glob("*.yaml")} == listed
    generators = [*KUSTOMIZATION["configMapGenerator"], *KUSTOMIZATION["secretGenerator"]]
    files = {row.split("=", 1)[1] for generator in generators for row in generator["files"]}
    assert files - {"workspace/private.pem"} == {
        str(p.relative_to(FOLDER)) for p in (FOLDER / "workspace").rglob("*.yaml")
    }
    assert "private.pem" in (FOLDER / "workspace" / ".gitignore").read_text().split()
    assert {c["image"] for pod in PODS for c in containers(pod)} == {i["name"] for i in KUSTOMIZATION["images"]}
    assert KUSTOMIZATION["namespace"] in named("Namespace")


def test_what_pods_refer_to_is_there() -> None:
    made = {
        "configMap": {g["name"] for g in KUSTOMIZATION["configMapGenerator"]},
        "secret": {g["name"] for g in KUSTOMIZATION["secretGenerator"]},
        "persistentVolumeClaim": set(named("PersistentVolumeClaim")),
    }
    keys = {"configMap": "name", "secret": "secretName", "persistentVolumeClaim": "claimName"}
    used: dict[str, set[str]] = {kind: set() for kind in made}
    for pod in PODS:
        assert pod["spec"]["serviceAccountName"] in named("ServiceAccount")
        volumes = {v["name"] for v in pod["spec"]["volumes"]}
        assert {m["name"] for c in containers(pod) for m in c["volumeMounts"]} == volumes
        for volume in pod["spec"]["volumes"]:
            for kind, key in keys.items():
                if kind in volume:
                    used[kind].add(volume[kind][key])
    assert used == made


def test_workers_find_the_master_and_are_as_many_as_it_expects() -> None:
    (service,) = named("Service").values()
    assert service["spec"]["selector"].items() <= CONDUCTOR["metadata"]["labels"].items()
    declared = {p["name"]: p["containerPort"] for p in CONDUCTOR["spec"]["containers"][0]["ports"]}
    ports = {p["port"]: declared[p["targetPort"]] for p in service["spec"]["ports"]}
    conductor, worker = options(CONDUCTOR), options(WORKER)
    assert worker["worker"]
    assert worker["master_host"] == service["metadata"]["name"]
    assert ports[worker["master_port"]] == conductor["master_bind_port"]
    assert conductor["master"]
    expected = conductor["expect_workers"]
    job = JOBS["tracer-bullet-workers"]["spec"]
    assert job["parallelism"] == job["completions"] == expected
    (patch,) = KUSTOMIZATION["patches"]
    assert patch["target"]["name"] in JOBS
    assert {row["value"] for row in yaml.safe_load(patch["patch"])} == {expected}


def test_policies_shut_all_and_open_what_is_needed() -> None:
    policies = named("NetworkPolicy")
    shut = policies.pop("tracer-bullet-nothing-else")["spec"]
    assert (shut["podSelector"], set(shut["policyTypes"])) == ({}, {"Ingress", "Egress"})
    assert not shut.keys() & {"ingress", "egress"}
    labels = [pod["metadata"]["labels"].items() for pod in PODS]
    for policy in policies.values():
        for tree in walk(policy["spec"]):
            if "podSelector" in tree:
                assert any(tree["podSelector"]["matchLabels"].items() <= pod for pod in labels)
    # Nobody but workers reaches the master; workers are reached by nobody.
    inward = policies["tracer-bullet-conductor"]["spec"]["ingress"]
    (locust,) = [rule for rule in inward if rule["ports"] == [{"port": "locust", "protocol": "TCP"}]]
    assert locust["from"] == [{"podSelector": {"matchLabels": WORKER["metadata"]["labels"]}}]
    assert "ingress" not in policies["tracer-bullet-workers"]["spec"]


@pytest.mark.parametrize("pod", PODS, ids=["conductor", "worker"])
def test_nobody_may_more_than_it_needs(pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    for container in containers(pod):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not security.get("privileged")
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
    assert not any("hostPath" in volume for volume in spec["volumes"])
    holds_key = any("secret" in volume for volume in spec["volumes"])
    assert holds_key == (pod is CONDUCTOR)


def test_the_workspace_that_they_mount_is_one() -> None:
    settings = load_settings(FOLDER / "workspace", {"SHOP_URL": "http://gateway.shop:8080"})
    scenario = load_scenario(FOLDER / "workspace" / "scenarios" / "checkout.yaml").value
    assert scenario.load is not None
    assert scenario.target in settings.value.targets
    (file,) = [v for v in options(CONDUCTOR).values() if isinstance(v, Path)]
    mounts = {m["mountPath"]: m for m in CONDUCTOR["spec"]["containers"][0]["volumeMounts"]}
    assert f"/workspace/{file.parent}" in mounts
    assert str(settings.value.keys.private).rsplit("/", 1)[0] in mounts
    port = int(str(settings.value.traces.listen).rsplit(":", 1)[1])
    assert port in {p["containerPort"] for p in CONDUCTOR["spec"]["containers"][0]["ports"]}
