"""Configuration of kube-scheduler with the extender."""

from dataclasses import dataclass
from typing import Any

from acesniper.api.names import SCHEDULER_NAME

# Default plugins add up to at most 1,200 points (their weights sum to 12, 100 each). An extender's
# point counts weight x 10, so that with this weight one point of ours outweighs all of them, and
# equal points leave the choice to them.
EXTENDER_WEIGHT = 121


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Settings of one installation.

    `timeout_s`: how long kube-scheduler waits for the extender before it continues without it.
    `tls_folder`: where kube-scheduler finds tls.crt, tls.key and ca.crt for an extender over HTTPS.
    `embedded`: for the cluster's own scheduler, which also places all other pods.
    """

    extender_url: str = "http://127.0.0.1:8780"
    kubeconfig: str = ""
    scheduler_name: str = SCHEDULER_NAME
    lease_namespace: str = "kube-system"
    lease_name: str = "ace-sniper-scheduler"
    leader_elect: bool = True
    timeout_s: float = 1.0
    qps: int = 1000
    tls_folder: str = ""
    embedded: bool = False

    def manifest(self) -> dict[str, Any]:
        """The KubeSchedulerConfiguration."""
        connection: dict[str, Any] = {"qps": self.qps, "burst": 2 * self.qps}
        if self.kubeconfig:
            connection["kubeconfig"] = self.kubeconfig
        names = ["default-scheduler"] if self.embedded else []
        return {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": connection,
            # The default scheduler of the cluster keeps its own lease.
            **({} if self.embedded else {"leaderElection": self._election()}),
            # A pod is schedulable as soon as the planner admits it: retry early.
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 5,
            "profiles": [
                *({"schedulerName": name} for name in names),
                {
                    "schedulerName": self.scheduler_name,
                    # Above 100 nodes kube-scheduler scores a sample; the best node must be in it.
                    "percentageOfNodesToScore": 100,
                },
            ],
            "extenders": [
                {
                    "urlPrefix": self.extender_url,
                    "filterVerb": "filter",
                    "prioritizeVerb": "prioritize",
                    "weight": EXTENDER_WEIGHT,
                    # Node names only: sending whole node objects is slow.
                    "nodeCacheCapable": True,
                    # While the extender is unavailable, pods are placed by the default plugins.
                    "ignorable": True,
                    "httpTimeout": f"{self.timeout_s:g}s",
                    **self._tls(),
                }
            ],
        }

    def _election(self) -> dict[str, Any]:
        return {
            "leaderElect": self.leader_elect,
            "resourceNamespace": self.lease_namespace,
            "resourceName": self.lease_name,
            # Seen at the latest 2.2 retry periods after a renewal, stale a lease later, tried for
            # again within 2.2 more: another pod schedules within 13 s. See docs/adr/0013.
            "leaseDuration": "8s",
            "renewDeadline": "6s",
            "retryPeriod": "1s",
        }

    def _tls(self) -> dict[str, Any]:
        """Always with a CA: without one, kube-scheduler would not verify the extender."""
        if not self.tls_folder:
            return {}
        files = {"certFile": "tls.crt", "keyFile": "tls.key", "caFile": "ca.crt"}
        config = {field: f"{self.tls_folder}/{name}" for field, name in files.items()}
        return {"enableHTTPS": True, "tlsConfig": config}
