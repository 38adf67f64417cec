"""A real Kubernetes control plane on this machine, for the demo and the end-to-end tests.

etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK run as plain processes with
TLS and RBAC, in a temporary folder and on free ports of 127.0.0.1; see `ControlPlane`.
"""

from acesniper.testbed.control_plane import ControlPlane, start_scheduler
from acesniper.testbed.errors import (
    BinariesMissing,
    BuildFailed,
    CommandFailed,
    NotReady,
    TestbedError,
)
from acesniper.testbed.kwok import finish_annotations, make_node, start_kwok

__all__ = [
    "BinariesMissing",
    "BuildFailed",
    "CommandFailed",
    "ControlPlane",
    "NotReady",
    "TestbedError",
    "finish_annotations",
    "make_node",
    "start_kwok",
    "start_scheduler",
]
