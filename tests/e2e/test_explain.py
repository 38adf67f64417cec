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


def test_a_task_is_explained_with_every_term_and_still_after_its_pod_is_gone(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_models(namespace)
    fleet.wait_idle()
    fleet.apply([fleet.task("asked", namespace, inferences=fleet.inferences(0.3))])
    status = fleet.finish(namespace, "asked")["asked"]
    fleet.system.plane.kubectl("delete", "pod", "-n", namespace, "--all")

    text = explain(fleet, "asked", "-n", namespace)
    machine = explain(fleet, "asked", "-n", namespace, "--json")

    assert text.returncode == 0, text.stderr
    assert f"{namespace}/asked: Succeeded." in text.stdout
    assert "Backlog" in text.stdout
    found = json.loads(machine.stdout)
    best = found["decision"]["candidates"][0]
    terms = ("backlogSeconds", "coldStartSeconds", "transferSeconds", "runSeconds")
    assert best["node"] == status["node"] == found["node"]
    assert abs(sum(best[each] for each in terms) - best["finishSeconds"]) < 1e-6
    assert len(found["decision"]["candidates"]) > 1
    assert found["observed"]["latencyMedianSeconds"] > 0


def test_an_unknown_task_is_an_error_in_words(fleet: FleetOfFive, namespace: str) -> None:
    answer = explain(fleet, "nobody", "-n", namespace)

    assert answer.returncode == 2
    assert answer.stderr == (
        f"error: there is no InferenceTask 'nobody' in namespace '{namespace}';"
        " see kubectl get itask -A\n"
    )
