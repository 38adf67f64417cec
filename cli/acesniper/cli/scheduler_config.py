"""`acesniper scheduler-config`: print the configuration of our kube-scheduler."""

from typing import Annotated

import typer


def command(
    extender_url: Annotated[
        str, typer.Option(help="Where kube-scheduler reaches the extender.")
    ] = "http://127.0.0.1:8780",
    kubeconfig: Annotated[str, typer.Option(help="Empty: in the cluster.")] = "",
    scheduler_name: Annotated[str, typer.Option(help="What pods ask for.")] = "ace-sniper",
    timeout_s: Annotated[float, typer.Option(help="For one answer of the extender.")] = 1.0,
    tls_folder: Annotated[
        str, typer.Option(help="Folder of kube-scheduler's tls.crt, tls.key and ca.crt.")
    ] = "",
    embedded: Annotated[
        bool, typer.Option("--embedded", help="For the cluster's own scheduler, all pods included.")
    ] = False,
) -> None:
    """Print a KubeSchedulerConfiguration made from these settings.

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
