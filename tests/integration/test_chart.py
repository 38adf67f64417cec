"""What the chart renders, for the values people set."""

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
    """Name and spec of every pod that the manifests make."""
    for each in manifests:
        name = each["metadata"]["name"]
        if each["kind"] == "Pod":
            yield name, each["spec"]
        elif each["kind"] == "CronJob":
            yield name, each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif "template" in each.get("spec", {}):
            yield name, each["spec"]["template"]["spec"]


def containers(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    return {
        each["name"]: each for _, spec in pod_templates(manifests) for each in spec["containers"]
    }


def environment(container: dict[str, Any]) -> dict[str, str | None]:
    return {each["name"]: each.get("value") for each in container.get("env", [])}


def one(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    (found,) = [
        each
        for each in manifests
        if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)
    ]
    return found


def test_the_chart_has_nothing_to_complain_about() -> None:
    done = subprocess.run(
        [ensure_helm(), "lint", "--strict", CHART], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout


def test_the_default_is_what_was_reviewed(tmp_path: Path) -> None:
    shown = [each for each in template() if each["kind"] != "CustomResourceDefinition"]
    new = tmp_path / GOLDEN.name
    new.write_text(yaml.safe_dump_all(shown, sort_keys=False))

    assert new.read_text() == GOLDEN.read_text(), f"if that is wanted: cp {new} {GOLDEN}"


@matrix
def test_names_are_unique_and_no_object_strays_into_another_namespace(
    values: tuple[str, ...],
) -> None:
    manifests = template(*values)

    named = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    strays = [
        each["kind"]
        for each in manifests
        if each["metadata"].get("namespace") not in (None, "aces")
    ]
    assert len(named) == len(set(named))
    assert strays in (["RoleBinding"], []), "in kube-system, to read who may ask for metrics"


@matrix
def test_every_pod_meets_the_restricted_standard(values: tuple[str, ...]) -> None:
    for name, spec in pod_templates(template(*values)):
        if name.endswith("model-cache"):
            continue  # a folder of the node, which is its purpose
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not any("hostPath" in each for each in spec.get("volumes", [])), name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security["readOnlyRootFilesystem"] is True, name


@matrix
def test_every_container_is_limited(values: tuple[str, ...]) -> None:
    for name, container in containers(template(*values)).items():
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), name
        # A limit of CPU would be what the probe measures.
        wanted = {"memory"} if name == "probe" else {"cpu", "memory"}
        assert resources["limits"].keys() == wanted, name


@matrix
def test_images_have_a_version(values: tuple[str, ...]) -> None:
    images = [each["image"] for each in containers(template(*values)).values()]

    tags = {each.rsplit(":", 1)[1] for each in images}
    assert tags - {"v1.37.2"} == {"0.1.0"}


def test_the_control_plane_fits_beside_the_work_on_a_small_board() -> None:
    requests = [each["resources"]["requests"] for each in containers(template()).values()]

    memory_mib = sum(int(each["memory"].removesuffix("Mi")) for each in requests)
    assert memory_mib <= 512, "of a Raspberry Pi's 2 to 8 GiB"


def test_a_mirror_serves_every_image() -> None:
    manifests = template(*VALUES["mirror"])

    images = {name: each["image"] for name, each in containers(manifests).items()}
    images["runner"] = str(environment(containers(manifests)["operator"])["ACESNIPER_RUNNER_IMAGE"])
    assert {each.split("/")[0] for each in images.values()} == {"registry.local:5000"}
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
def test_the_scheduler_is_of_the_clusters_version_without_its_suffix(
    cluster: str, tag: str
) -> None:
    manifests = template(kubernetes=cluster)

    assert (
        containers(manifests)["kube-scheduler"]["image"] == f"registry.k8s.io/kube-scheduler:{tag}"
    )


def test_a_cluster_that_does_not_say_its_whole_version_needs_one_named() -> None:
    with pytest.raises(ValueError, match=r"scheduler\.image\.tag: name the version"):
        template(kubernetes="1.36")


def test_the_schedulers_version_can_be_set() -> None:
    manifests = template('scheduler.image.tag="v1.35.9"')

    assert containers(manifests)["kube-scheduler"]["image"].endswith(":v1.35.9")


def test_the_scheduler_is_configured_as_everywhere_else() -> None:
    config = yaml.safe_load(one(template(), "ConfigMap")["data"]["scheduler.yaml"])

    assert config == SchedulerConfig(lease_namespace="aces").manifest()


def test_the_schedulers_values_reach_its_configuration() -> None:
    manifests = template("scheduler.qps=50", "scheduler.timeoutS=0.5")

    config = yaml.safe_load(one(manifests, "ConfigMap")["data"]["scheduler.yaml"])
    wanted = SchedulerConfig(lease_namespace="aces", qps=50, timeout_s=0.5)
    assert config == wanted.manifest()


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("operator", OperatorSettings),
        ("extender", ExtenderSettings),
        ("probe", ProbeSettings),
    ],
)
def test_the_environment_is_the_settings(part: str, settings: type[EnvironmentSettings]) -> None:
    given = environment(containers(template())[part])
    variables = {name: value for name, value in given.items() if name.startswith("ACESNIPER_")}
    # A pod uses its own account; predictions from a file are for benchmarks.
    never = {"ACESNIPER_KUBECONFIG", "ACESNIPER_PREDICTIONS"}
    wanted = {settings.variable(name) for name in settings.model_fields} - never

    assert variables.keys() == wanted
    # What the downward API fills in at run time.
    filled = {name: value or "node-1" for name, value in variables.items() if value != ""}
    assert settings.read(filled)


@pytest.mark.parametrize(
    ("part", "settings"), [("operator", OperatorSettings), ("extender", ExtenderSettings)]
)
def test_the_defaults_of_the_chart_are_those_of_the_parts(
    part: str, settings: type[EnvironmentSettings]
) -> None:
    given = environment(containers(template())[part])

    read = settings.read({name: value or "" for name, value in given.items()})

    default = settings()
    set_by_the_chart = {"log_format", "runner_image", "lease_namespace", "identity", "network"}
    set_by_the_chart |= {"health_port"}
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
def test_a_wrong_value_is_refused_before_anything_is_installed(wrong: str) -> None:
    with pytest.raises(ValueError, match="values don't meet the specifications"):
        template(wrong)


@matrix
def test_what_the_extender_plans_is_told_to_its_own_pod_only_unless_the_mode_is_external(
    values: tuple[str, ...],
) -> None:
    extender = containers(template(*values))["extender"]

    given = environment(extender)
    asked_from_outside = given["ACESNIPER_TLS_FOLDER"]
    assert given["ACESNIPER_HOST"] == ("0.0.0.0" if asked_from_outside else "127.0.0.1")
    assert {"name": "metrics", "containerPort": 8785} in extender["ports"]


@matrix
def test_who_is_deaf_is_not_live(values: tuple[str, ...]) -> None:
    made = containers(template(*values))

    for name, port in (("operator", "health"), ("extender", "metrics")):
        assert made[name]["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port}


def test_a_cache_is_told_to_the_operator_and_made_on_each_node() -> None:
    manifests = template(*VALUES["model cache"])

    given = environment(containers(manifests)["operator"])
    (volume,) = one(manifests, "DaemonSet", "model-cache")["spec"]["template"]["spec"]["volumes"]
    assert given["ACESNIPER_MODEL_CACHE"] == volume["hostPath"]["path"]
    assert given["ACESNIPER_MODEL_CACHE_BYTES"] == "1000000000"
    assert environment(containers(template())["operator"])["ACESNIPER_MODEL_CACHE"] == ""


def test_definitions_are_upgraded_and_kept() -> None:
    manifests = [each for each in template() if each["kind"] == "CustomResourceDefinition"]

    assert len(manifests) == len(crd_files())
    for each in manifests:
        assert each["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not (CHART / "crds").exists(), "Helm never upgrades what lies there"


def test_no_probe_means_nothing_of_it() -> None:
    manifests = template(*VALUES["no probe"])

    named = [each["kind"] for each in manifests if "probe" in each["metadata"]["name"]]
    assert named == ["PriorityClass"], "which `helm test` uses"
    policies = [each for each in manifests if each["kind"] == "ValidatingAdmissionPolicy"]
    assert [each["metadata"]["name"] for each in policies] == ["acesniper-same-pod"]


def test_an_external_scheduler_finds_the_extender_behind_a_service_with_certificates() -> None:
    manifests = template(*VALUES["external"])

    service = one(manifests, "Service")
    given = environment(containers(manifests)["extender"])
    bound = [each["roleRef"]["name"] for each in manifests if each["kind"].endswith("RoleBinding")]
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


def test_an_external_scheduler_needs_certificates() -> None:
    with pytest.raises(ValueError, match=r"external\.secret: name the Secret"):
        template('mode="external"')


@pytest.mark.parametrize("name", ["my.release", "123", "true", f"x-{'b' * 37}.y", "a" * 53])
def test_whatever_a_release_and_its_namespace_are_called_their_objects_have_valid_names(
    name: str,
) -> None:
    manifests = template('mode="external"', 'external.secret="7"', namespace="42", name=name)

    for each in manifests:
        metadata = each["metadata"]
        assert re.fullmatch(r"[a-z0-9][-a-z0-9.]*[a-z0-9]", metadata["name"])
        assert ".-" not in metadata["name"]
        assert metadata.get("namespace", "42") in ("42", "kube-system")
        assert metadata["labels"]["app.kubernetes.io/instance"] == name
    assert "." not in one(manifests, "Service")["metadata"]["name"]


def test_an_api_server_on_another_port_is_let_through() -> None:
    policies = [each for each in template(*VALUES["api server"]) if each["kind"] == "NetworkPolicy"]

    for each in policies:
        if each["metadata"]["name"] != "acesniper-operator":
            ports = [port["port"] for port in each["spec"]["egress"][0]["ports"]]
            assert ports == [443, 6443, 7443]


def test_the_dashboard_is_what_grafana_gets() -> None:
    labels = 'metrics.dashboard.labels={"found_by": "sidecar"}'
    board = one(template("metrics.dashboard.enabled=true", labels), "ConfigMap", "dashboard")

    assert board["metadata"]["labels"]["found_by"] == "sidecar"
    shipped = (CHART / "dashboards/acesniper.json").read_text()
    assert json.loads(board["data"]["acesniper.json"]) == json.loads(shipped)


def test_the_rules_are_those_that_promtool_tests() -> None:
    rules = one(template("metrics.rules.enabled=true"), "PrometheusRule")

    assert rules["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text())


def test_retraining_is_a_job_now_and_then_once_an_image_is_named() -> None:
    manifests = template("retraining.enabled=true", 'retraining.image="trainer:1"')

    job = one(manifests, "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "trainer:1"
    assert container["command"] == ["acesniper", "network", "retrain"]
    assert not [each for each in template() if each["kind"] == "CronJob"]


@pytest.mark.parametrize("part", ["operator", "extender"])
def test_parts_look_for_a_network_in_a_volume_that_may_be_empty(part: str) -> None:
    manifests = template()

    specs = [spec for _, spec in pod_templates(manifests)]
    (spec,) = (
        each for each in specs if part in {container["name"] for container in each["containers"]}
    )
    volumes = {each["name"]: each for each in spec["volumes"]}
    path = environment(containers(manifests)[part])["ACESNIPER_NETWORK"]

    assert path == "/etc/acesniper-network/pcn.onnx"
    assert volumes["network"]["configMap"] == {"name": "ace-sniper-network", "optional": True}
