"""`acesniper explain` against a real control plane."""

import json
import subprocess
import sys

from fleet_of_five import FleetOfFive


def explain(fleet: FleetOfFive, *arguments: str) -> subprocess.CompletedProcess[str]:
    kubeconfig = str(fleet.system.plane.kubeconfig("acesniper-operator"))
    return subprocess.run(
        [sys.executable, "-m", "acesniper.cli", "explain", *arguments, "--kubeconfig", kubeconfig],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_decision_is_explained_even_after_the_pod_was_deleted(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    fleet.apply([fleet.task("asked", namespace, inferences=fleet.inferences(0.3))])
    status = fleet.finish(namespace, "asked")["asked"]
    fleet.system.plane.kubectl("delete", "pod", "-n", namespace, "--all")

    text = explain(fleet, "asked", "-n", namespace)
    machine = explain(fleet, "asked", "-n", namespace, "--json")

    assert text.returncode == 0, text.stderr
    assert f"{namespace}/asked: Succeeded." in text.stdout
    assert "Backlog" in text.stdout
    answer = json.loads(machine.stdout)
    best = answer["decision"]["candidates"][0]
    terms = ("backlogSeconds", "coldStartSeconds", "transferSeconds", "runSeconds")
    assert best["node"] == status["node"] == answer["node"]
    assert abs(sum(best[term] for term in terms) - best["finishSeconds"]) < 1e-6
    assert len(answer["decision"]["candidates"]) > 1
    assert answer["observed"]["latencyMedianSeconds"] > 0


def test_an_unknown_task_is_an_error(fleet: FleetOfFive, namespace: str) -> None:
    answer = explain(fleet, "unknown", "-n", namespace)

    assert answer.returncode == 2
    assert answer.stderr == (
        f"error: InferenceTask 'unknown' does not exist in namespace '{namespace}';"
        " list all with `kubectl get itask -A`\n"
    )
