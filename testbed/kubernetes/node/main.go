// Command acesniper-node is kubelet and kube-proxy in one binary. Like busybox it acts as the program
// whose name it is called by. It is a package of its own, so that a change here does not rebuild the
// control plane, in the same module, so that both share all compiled packages.
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
		fmt.Fprintf(os.Stderr, "%s: must be called through a link named kubelet or kube-proxy\n", name)
		os.Exit(2)
	}
}
