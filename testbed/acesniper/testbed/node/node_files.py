"""Configuration files of a node's programs, for a sandbox without CAP_SYS_RESOURCE."""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from acesniper.testbed.images import PAUSE_IMAGE
from acesniper.testbed.node.host import CNI_PLUGINS

SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """Writes the configuration files of one node into its folder."""

    folder: Path
    pod_logs: Path
    pods: str
    cgroup: str
    client_ca: Path

    def containerd(self) -> Path:
        """Configuration of containerd, with the network plugins and our pause image."""
        network = self.folder / "cni"
        network.mkdir()
        (network / "10-pods.conflist").write_text(json.dumps(self._network()))
        path = self.folder / "containerd.toml"
        path.write_text(
            f"""version = 2
root = "{self.folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{network}"
"""
        )
        return path

    def kubelet(self) -> Path:
        """Configuration of the kubelet, also for cgroup v1, without privileges over the host."""
        return self._write(
            "kubelet.yaml",
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "featureGates": {"KubeletInUserNamespace": True},
                "failCgroupV1": False,
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{self.cgroup}",
                "failSwapOn": False,
                "containerRuntimeEndpoint": f"unix://{SOCKET}",
                "authentication": {
                    "anonymous": {"enabled": False},
                    "x509": {"clientCAFile": str(self.client_ca)},
                    "webhook": {"enabled": True},
                },
                "authorization": {"mode": "Webhook"},
                "podLogsDir": str(self.pod_logs),
                # No eviction and no image collection, even if the disk is nearly full.
                "evictionHard": {"memory.available": "10Mi"},
                "imageGCHighThresholdPercent": 100,
                "imageGCLowThresholdPercent": 99,
            },
        )

    def kube_proxy(self, kubeconfig: Path, node: str) -> Path:
        """Configuration of kube-proxy, which leaves the machine's connection tracking unchanged."""
        return self._write(
            "kube-proxy.yaml",
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "iptables",
                "clusterCIDR": self.pods,
                "hostnameOverride": node,
                "clientConnection": {"kubeconfig": str(kubeconfig)},
                "conntrack": {
                    "maxPerCore": 0,
                    "min": 0,
                    "tcpCloseWaitTimeout": "0s",
                    "tcpEstablishedTimeout": "0s",
                },
            },
        )

    def _network(self) -> dict[str, object]:
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.folder / "addresses"),
                "ranges": [[{"subnet": self.pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _write(self, name: str, content: dict[str, object]) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(content))
        return path
