"""The manifests that the chart renders, for common sets of values."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from acesniper.api.crd import files as crd_files
from acesniper.api.scheduler_config import SchedulerConfig
from acesniper.runtime.settings import (
    EnvironmentSettings,
    ExtenderSettings,
    OperatorSettings,
    ProbeSettings,
)
from acesniper.testbed.errors import BinariesMissing
from acesniper.testbed.programs import ensure_helm
from helm_release import CHART, VALUES, Manifest, template

GOLDEN = Path(__file__).parent / "golden/chart-default.yaml"

matrix = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())


@pytest.fixture(scope="module", autouse=True)
def _helm() -> None:
    try:
        ensure_helm()
    except BinariesMissing as missing:
        pytest.skip(str(missing))


def pod_templates(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and spec of every pod or pod template."""
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "Pod":
            yield name, manifest["spec"]
        elif manifest["kind"] == "CronJob":
            yield name, manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif "template" in manifest.get("spec", {}):
            yield name, manifest["spec"]["template"]["spec"]


def containers(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    return {
        container["name"]: container
        for _, spec in pod_templates(manifests)
        for container in spec["containers"]
    }


def environment(container: dict[str, Any]) -> dict[str, str | None]:
    return {variable["name"]: variable.get("value") for variable in container.get("env", [])}


def one(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    (match,) = [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and manifest["metadata"]["name"].endswith(suffix)
    ]
    return match


def test_helm_lint_passes() -> None:
    done = subprocess.run(
        [ensure_helm(), "lint", "--strict", CHART], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout


def test_the_default_manifests_equal_the_golden_file(tmp_path: Path) -> None:
    shown = [manifest for manifest in template() if manifest["kind"] != "CustomResourceDefinition"]
    # Another at every rendering without a cluster.
    one(shown, "Secret")["data"]["key"] = "made at the first install"
    new = tmp_path / GOLDEN.name
    new.write_text(yaml.safe_dump_all(shown, sort_keys=False))

    assert new.read_text() == GOLDEN.read_text(), f"if that is wanted: cp {new} {GOLDEN}"


@matrix
def test_names_are_unique_and_all_objects_are_in_the_namespace(
    values: tuple[str, ...],
) -> None:
    manifests = template(*values)

    named = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    strays = [
        manifest["kind"]
        for manifest in manifests
        if manifest["metadata"].get("namespace") not in (None, "aces")
    ]
    assert len(named) == len(set(named))
    assert strays in (["RoleBinding"], []), "in kube-system, to read who may ask for metrics"


@matrix
def test_every_pod_meets_the_restricted_standard(values: tuple[str, ...]) -> None:
    for name, spec in pod_templates(template(*values)):
        if name.endswith("model-cache"):
            continue  # creates a hostPath directory by design
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not any("hostPath" in volume for volume in spec.get("volumes", [])), name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security["readOnlyRootFilesystem"] is True, name


@matrix
def test_every_container_has_resource_limits(values: tuple[str, ...]) -> None:
    for name, container in containers(template(*values)).items():
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), name
        # A CPU limit would distort the probe's measurement.
        expected = {"memory"} if name == "probe" else {"cpu", "memory"}
        assert resources["limits"].keys() == expected, name


@matrix
def test_images_have_a_version(values: tuple[str, ...]) -> None:
    images = [container["image"] for container in containers(template(*values)).values()]

    tags = {image.rsplit(":", 1)[1] for image in images}
    assert tags - {"v1.37.2"} == {"0.1.0"}


def test_the_components_fit_on_a_small_board() -> None:
    requests = [container["resources"]["requests"] for container in containers(template()).values()]

    memory_mib = sum(int(request["memory"].removesuffix("Mi")) for request in requests)
    assert memory_mib <= 512, "of a Raspberry Pi's 2 to 8 GiB"


def test_a_mirror_replaces_every_registry() -> None:
    manifests = template(*VALUES["mirror"])

    images = {name: container["image"] for name, container in containers(manifests).items()}
    images["runner"] = str(environment(containers(manifests)["operator"])["ACESNIPER_RUNNER_IMAGE"])
    assert {image.split("/")[0] for image in images.values()} == {"registry.local:5000"}
    for _, spec in pod_templates(manifests):
        assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


@pytest.mark.parametrize(
    ("cluster", "tag"),
    [
        ("v1.36.1+k3s1", "v1.36.1"),
        ("v1.33.0", "v1.33.0"),
        ("v1.34.2-eks-113cf36", "v1.34.2"),
        ("v1.35.0-rc.1+rke2r1", "v1.35.0-rc.1"),
    ],
)
def test_the_scheduler_has_the_clusters_version_without_suffix(cluster: str, tag: str) -> None:
    manifests = template(kubernetes=cluster)

    assert (
        containers(manifests)["kube-scheduler"]["image"] == f"registry.k8s.io/kube-scheduler:{tag}"
    )


def test_an_incomplete_cluster_version_requires_a_tag() -> None:
    with pytest.raises(ValueError, match=r"scheduler\.image\.tag: name the version"):
        template(kubernetes="1.36")


def test_the_schedulers_version_can_be_set() -> None:
    manifests = template('scheduler.image.tag="v1.35.9"')

    assert containers(manifests)["kube-scheduler"]["image"].endswith(":v1.35.9")


def test_the_scheduler_configuration_is_the_generated_one() -> None:
    config = yaml.safe_load(one(template(), "ConfigMap")["data"]["scheduler.yaml"])

    assert config == SchedulerConfig(lease_namespace="aces").manifest()


def test_the_schedulers_values_reach_its_configuration() -> None:
    manifests = template("scheduler.qps=50", "scheduler.timeoutS=0.5")

    config = yaml.safe_load(one(manifests, "ConfigMap")["data"]["scheduler.yaml"])
    expected = SchedulerConfig(lease_namespace="aces", qps=50, timeout_s=0.5)
    assert config == expected.manifest()


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("operator", OperatorSettings),
        ("extender", ExtenderSettings),
        ("probe", ProbeSettings),
    ],
)
def test_the_environment_sets_every_setting(part: str, settings: type[EnvironmentSettings]) -> None:
    given = environment(containers(template())[part])
    variables = {name: value for name, value in given.items() if name.startswith("ACESNIPER_")}
    # A pod uses its service account; predictions from a file are for benchmarks.
    never = {"ACESNIPER_KUBECONFIG", "ACESNIPER_PREDICTIONS"}
    expected = {settings.variable(name) for name in settings.model_fields} - never

    assert variables.keys() == expected
    # Set by the downward API at run time.
    filled = {name: value or "node-1" for name, value in variables.items() if value != ""}
    assert settings.read(filled)


@pytest.mark.parametrize(
    ("part", "settings"), [("operator", OperatorSettings), ("extender", ExtenderSettings)]
)
def test_the_defaults_of_chart_and_components_agree(
    part: str, settings: type[EnvironmentSettings]
) -> None:
    given = environment(containers(template())[part])

    read = settings.read({name: value or "" for name, value in given.items()})

    default = settings()
    set_by_the_chart = {"log_format", "runner_image", "lease_namespace", "identity", "network"}
    set_by_the_chart |= {"health_port", "decision_key"}
    for name in settings.model_fields.keys() - set_by_the_chart:
        assert getattr(read, name) == getattr(default, name), name


@pytest.mark.parametrize(
    "wrong",
    [
        "extender.settings.replanS=0",
        "operator.settings.workers=0",
        'operator.settings.maxGatedPods="many"',
        "operator.setings={}",
        'image.pullPolicy="Sometimes"',
        'mirror="https://registry.local"',
        'mirror="registry.local/"',
        'image.registry=""',
        'imagePullSecrets=[{"name": "one"}]',
        "probe.nodeSelector.gpu=true",
        'operator.tolerations=["spot"]',
        "networkPolicy.apiServerPorts=[]",
        'modelCache.folder="models"',
        "operator.replicas=-1",
    ],
)
def test_an_invalid_value_is_rejected(wrong: str) -> None:
    with pytest.raises(ValueError, match="values don't meet the specifications"):
        template(wrong)


@matrix
def test_the_extender_listens_on_loopback_unless_external(
    values: tuple[str, ...],
) -> None:
    extender = containers(template(*values))["extender"]

    given = environment(extender)
    asked_from_outside = given["ACESNIPER_TLS_FOLDER"]
    assert given["ACESNIPER_HOST"] == ("0.0.0.0" if asked_from_outside else "127.0.0.1")
    assert {"name": "metrics", "containerPort": 8785} in extender["ports"]


@matrix
def test_liveness_probes_check_the_watches(values: tuple[str, ...]) -> None:
    made = containers(template(*values))

    for name, port in (("operator", "health"), ("extender", "metrics")):
        assert made[name]["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port}


def test_a_cache_is_set_in_the_operator_and_created_on_nodes() -> None:
    manifests = template(*VALUES["model cache"])

    given = environment(containers(manifests)["operator"])
    (volume,) = one(manifests, "DaemonSet", "model-cache")["spec"]["template"]["spec"]["volumes"]
    assert given["ACESNIPER_MODEL_CACHE"] == volume["hostPath"]["path"]
    assert given["ACESNIPER_MODEL_CACHE_BYTES"] == "1000000000"
    assert environment(containers(template())["operator"])["ACESNIPER_MODEL_CACHE"] == ""


def test_crds_are_upgraded_and_kept() -> None:
    manifests = [
        manifest for manifest in template() if manifest["kind"] == "CustomResourceDefinition"
    ]

    assert len(manifests) == len(crd_files())
    for manifest in manifests:
        assert manifest["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not (CHART / "crds").exists(), "Helm never upgrades what lies there"


def test_without_probe_none_of_its_objects_are_rendered() -> None:
    manifests = template(*VALUES["no probe"])

    named = [manifest["kind"] for manifest in manifests if "probe" in manifest["metadata"]["name"]]
    assert named == ["PriorityClass"], "which `helm test` uses"
    policies = [
        manifest for manifest in manifests if manifest["kind"] == "ValidatingAdmissionPolicy"
    ]
    assert [policy["metadata"]["name"] for policy in policies] == [
        "acesniper-same-pod",
        "acesniper-author",
    ]


def test_external_mode_exposes_a_service_with_certificates() -> None:
    manifests = template(*VALUES["external"])

    service = one(manifests, "Service")
    given = environment(containers(manifests)["extender"])
    bound = [
        binding["roleRef"]["name"]
        for binding in manifests
        if binding["kind"].endswith("RoleBinding")
    ]
    assert service["spec"]["ports"][0]["targetPort"] == "https"
    assert given["ACESNIPER_TLS_FOLDER"] == "/etc/acesniper-tls"
    assert "kube-scheduler" not in containers(manifests)
    assert sorted(bound) == [
        "acesniper-extender",
        "acesniper-operator",
        "acesniper-operator-lease",
        "acesniper-planner-lease",
        "acesniper-probe",
    ]


def test_external_mode_requires_certificates() -> None:
    with pytest.raises(ValueError, match=r"external\.secret: name the Secret"):
        template('mode="external"')


@pytest.mark.parametrize("name", ["my.release", "123", "true", f"x-{'b' * 37}.y", "a" * 53])
def test_names_are_valid_for_any_release_and_namespace(
    name: str,
) -> None:
    manifests = template('mode="external"', 'external.secret="7"', namespace="42", name=name)

    for manifest in manifests:
        metadata = manifest["metadata"]
        assert re.fullmatch(r"[a-z0-9][-a-z0-9.]*[a-z0-9]", metadata["name"])
        assert ".-" not in metadata["name"]
        assert metadata.get("namespace", "42") in ("42", "kube-system")
        assert metadata["labels"]["app.kubernetes.io/instance"] == name
    assert "." not in one(manifests, "Service")["metadata"]["name"]


def test_network_policies_allow_another_api_server_port() -> None:
    policies = [
        manifest
        for manifest in template(*VALUES["api server"])
        if manifest["kind"] == "NetworkPolicy"
    ]

    for policy in policies:
        if policy["metadata"]["name"] != "acesniper-operator":
            ports = [port["port"] for port in policy["spec"]["egress"][0]["ports"]]
            assert ports == [443, 6443, 7443]


def test_a_pod_monitor_is_not_blocked_by_the_network_policies() -> None:
    values = "metrics.podMonitor.enabled=true", "retraining.enabled=true"
    manifests = template(*values, 'retraining.image="trainer:1"')
    monitored = {
        manifest["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for manifest in manifests
        if manifest["kind"] == "PodMonitor"
    }

    open_parts = {
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for policy in manifests
        if policy["kind"] == "NetworkPolicy"
        for rule in policy["spec"]["ingress"]
        if {"protocol": "TCP", "port": "metrics"} in rule["ports"]
    }

    assert open_parts == monitored == {"operator", "scheduler"}


def test_an_umbrella_chart_can_pass_its_values() -> None:
    assert template("enabled=true", 'global={"imageRegistry": "registry.local"}')


def test_the_config_map_contains_the_dashboard() -> None:
    labels = 'metrics.dashboard.labels={"discovered_by": "sidecar"}'
    board = one(template("metrics.dashboard.enabled=true", labels), "ConfigMap", "dashboard")

    assert board["metadata"]["labels"]["discovered_by"] == "sidecar"
    shipped = (CHART / "dashboards/acesniper.json").read_text()
    assert json.loads(board["data"]["acesniper.json"]) == json.loads(shipped)


def test_the_prometheus_rule_contains_the_tested_rules() -> None:
    rules = one(template("metrics.rules.enabled=true"), "PrometheusRule")

    assert rules["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text())


def test_retraining_is_a_cron_job_and_requires_an_image() -> None:
    manifests = template("retraining.enabled=true", 'retraining.image="trainer:1"')

    job = one(manifests, "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "trainer:1"
    assert container["command"] == ["acesniper", "network", "retrain"]
    assert not [manifest for manifest in template() if manifest["kind"] == "CronJob"]


@pytest.mark.parametrize("part", ["operator", "extender"])
def test_the_network_volume_is_optional(part: str) -> None:
    manifests = template()

    specs = [spec for _, spec in pod_templates(manifests)]
    (spec,) = (
        spec for spec in specs if part in {container["name"] for container in spec["containers"]}
    )
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    path = environment(containers(manifests)[part])["ACESNIPER_NETWORK"]

    assert path == "/etc/acesniper-network/pcn.onnx"
    assert volumes["network"]["configMap"] == {"name": "ace-sniper-network", "optional": True}
