"""The configuration of our own kube-scheduler, made from settings."""

from dataclasses import dataclass
from typing import Any

from acesniper.api.names import SCHEDULER_NAME

# Default plugins add up to at most 1,200 points (their weights sum to 12, 100 each). An extender's
# point counts weight x 10, so that with this weight one point of ours outweighs all of them, and
# equal points leave the choice to them.
EXTENDER_WEIGHT = 121


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """What differs between installations.

    `timeout_s`: how long kube-scheduler waits for the extender before it goes on without it.
    """

    extender_url: str = "http://127.0.0.1:8780"
    kubeconfig: str = ""
    scheduler_name: str = SCHEDULER_NAME
    lease_namespace: str = "kube-system"
    lease_name: str = "ace-sniper-scheduler"
    leader_elect: bool = True
    timeout_s: float = 1.0
    qps: int = 1000

    def manifest(self) -> dict[str, Any]:
        """The KubeSchedulerConfiguration."""
        connection: dict[str, Any] = {"qps": self.qps, "burst": 2 * self.qps}
        if self.kubeconfig:
            connection["kubeconfig"] = self.kubeconfig
        return {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": connection,
            "leaderElection": {
                "leaderElect": self.leader_elect,
                "resourceNamespace": self.lease_namespace,
                "resourceName": self.lease_name,
                "leaseDuration": "10s",
                "renewDeadline": "7s",
                "retryPeriod": "2s",
            },
            # A pod that our plan admits is never long unschedulable: look again soon.
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 5,
            "profiles": [
                {
                    "schedulerName": self.scheduler_name,
                    # Above 100 nodes kube-scheduler scores a sample; the best node must be in it.
                    "percentageOfNodesToScore": 100,
                }
            ],
            "extenders": [
                {
                    "urlPrefix": self.extender_url,
                    "filterVerb": "filter",
                    "prioritizeVerb": "prioritize",
                    "weight": EXTENDER_WEIGHT,
                    # Names only: sending node objects is slow and hides them from other plugins.
                    "nodeCacheCapable": True,
                    # When we are away, pods are placed as the stock scheduler would.
                    "ignorable": True,
                    "httpTimeout": f"{self.timeout_s:g}s",
                }
            ],
        }
