"""A release of the chart on a testbed's control plane."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acesniper.testbed import ControlPlane
from acesniper.testbed.programs import ensure_helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/acesniper"
NAME = "acesniper"

Manifest = dict[str, Any]

VALUES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "mirror": ('mirror="registry.local:5000"', 'imagePullSecrets=["one", "two"]'),
    "no probe": ("probe.enabled=false",),
    "bare": (
        "crds.install=false",
        "priorityClasses.create=false",
        "networkPolicy.enabled=false",
        "podDisruptionBudget.enabled=false",
        "admissionPolicy.enabled=false",
    ),
    "metrics": (
        "metrics.podMonitor.enabled=true",
        'metrics.podMonitor.labels={"release": "prometheus"}',
        "metrics.rules.enabled=true",
        "metrics.dashboard.enabled=true",
        'networkPolicy.metricsFrom=[{"namespaceSelector": {}}]',
    ),
    "model cache": ("modelCache.enabled=true", "modelCache.bytes=1000000000"),
    "retraining": ("retraining.enabled=true", 'retraining.image="registry.local/trainer:0.1.0"'),
    "external": ('mode="external"', 'external.secret="certificates"'),
    "api server": ('apiServer.host="10.0.0.1"', "apiServer.port=7443"),
    "tolerations": ('probe.tolerations=[{"operator": "Exists"}]', "crds.keep=false"),
}
"""Combinations of values by name, for tests over all forms of the chart."""


def template(
    *values: str, kubernetes: str = "v1.37.2", namespace: str = "aces", name: str = NAME
) -> list[Manifest]:
    """Return the manifests that the chart renders, without a cluster."""
    arguments = [argument for value in values for argument in ("--set-json", value)]
    argv = [ensure_helm(), "template", name, CHART, "--namespace", namespace]
    done = subprocess.run(
        [*map(str, argv), "--kube-version", kubernetes, *arguments],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(done.stderr)
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


@dataclass(frozen=True, slots=True)
class HelmRelease:
    """Installs, upgrades and uninstalls a release; helm's files are in the testbed's folder."""

    plane: ControlPlane
    namespace: str

    def make_namespace(self) -> None:
        """Create the namespace of the release, which admits restricted pods only."""
        self.plane.kubectl("create", "namespace", self.namespace)
        level = "pod-security.kubernetes.io/enforce=restricted"
        self.plane.kubectl("label", "namespace", self.namespace, level)

    def install(self, *values: str, wait: bool = False, chart: Path = CHART) -> str:
        return self._helm("install", NAME, chart, *_set(values), *_wait(wait))

    def refused_install(self, name: str, *values: str) -> str:
        """The error of an installation under another name."""
        return self._run("install", name, CHART, *_set(values), succeeds=False).stderr

    def upgrade(self, *values: str, wait: bool = False) -> str:
        return self._helm("upgrade", NAME, CHART, *_set(values), *_wait(wait))

    def test(self) -> str:
        return self._helm("test", NAME)

    def uninstall(self) -> str:
        return self._helm("uninstall", NAME, "--wait")

    def _helm(self, *argv: str | Path) -> str:
        return self._run(*argv).stdout

    def _run(self, *argv: str | Path, succeeds: bool = True) -> "subprocess.CompletedProcess[str]":
        home = self.plane.folder / "helm"
        done = subprocess.run(
            [str(word) for word in (ensure_helm(), *argv, "--namespace", self.namespace)],
            env={
                **os.environ,
                "KUBECONFIG": str(self.plane.kubeconfig()),
                **{f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")},
            },
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) is succeeds, done.stderr
        return done


def _set(values: tuple[str, ...]) -> list[str]:
    return [argument for value in values for argument in ("--set", value)]


def _wait(wait: bool) -> list[str]:
    return ["--wait", "--timeout", "300s"] if wait else []
