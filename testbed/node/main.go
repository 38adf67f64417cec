// Command acesniper-node is what makes a machine a node, kubelet and kube-proxy, in one binary.
// Like busybox it does what its name says. It is a module of its own, so that changing it does not
// build the control plane anew.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "kubelet":
		os.Exit(cli.Run(kubelet.NewKubeletCommand(context.Background())))
	case "kube-proxy":
		os.Exit(cli.Run(kubeproxy.NewProxyCommand()))
	default:
		fmt.Fprintf(os.Stderr, "%s: call me through a link named kubelet or kube-proxy\n", name)
		os.Exit(2)
	}
}
