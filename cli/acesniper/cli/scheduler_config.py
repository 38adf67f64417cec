"""`acesniper scheduler-config`: print the configuration of our kube-scheduler."""

from typing import Annotated

import typer


def command(
    extender_url: Annotated[
        str, typer.Option(help="URL at which kube-scheduler calls the extender.")
    ] = "http://127.0.0.1:8780",
    kubeconfig: Annotated[
        str, typer.Option(help="Kubeconfig of kube-scheduler; empty in the cluster.")
    ] = "",
    scheduler_name: Annotated[
        str, typer.Option(help="The schedulerName of pods to schedule.")
    ] = "ace-sniper",
    timeout_s: Annotated[
        float, typer.Option(help="Timeout of a request to the extender, in seconds.")
    ] = 1.0,
    tls_folder: Annotated[
        str, typer.Option(help="Folder of kube-scheduler's tls.crt, tls.key and ca.crt.")
    ] = "",
    embedded: Annotated[
        bool,
        typer.Option("--embedded", help="Extend the cluster's own scheduler, for all pods."),
    ] = False,
) -> None:
    """Print a KubeSchedulerConfiguration.

    Example:
      acesniper scheduler-config > scheduler.yaml && kube-scheduler --config scheduler.yaml
    """
    import yaml

    from acesniper.api.scheduler_config import SchedulerConfig

    settings = SchedulerConfig(
        extender_url=extender_url,
        kubeconfig=kubeconfig,
        scheduler_name=scheduler_name,
        timeout_s=timeout_s,
        tls_folder=tls_folder,
        embedded=embedded,
    )
    print(yaml.safe_dump(settings.manifest(), sort_keys=False), end="")
