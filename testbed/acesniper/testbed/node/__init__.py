"""Real nodes on this machine: kubelet, containerd and kube-proxy in separate namespaces.

Needs root, Debian's containerd, runc and CNI plugins, and images from `make image`.
"""

from acesniper.testbed.node.host import missing_for_nodes as missing_for_nodes
from acesniper.testbed.node.real_node import RealNode as RealNode
