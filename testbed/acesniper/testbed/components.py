"""Command-line flags of each control-plane component: as in production, but on loopback."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from acesniper.testbed.credentials import Certificate

QPS = 1000
"""Client rate limit of controller manager and schedulers; the defaults are 20 to 50."""

_LOOPBACK = "127.0.0.1"
_SERVICE_RANGE = "10.96.0.0/16"
_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Site:
    """Files, ports and certificates of one control plane."""

    data: Path
    etcd_port: int
    etcd_peer_port: int
    api_port: int
    ca: Certificate
    serving: Certificate
    etcd_ca: Certificate
    etcd: Certificate
    front_proxy_ca: Certificate
    front_proxy: Certificate
    service_accounts: Certificate


def etcd(site: Site) -> list[str]:
    """One member with client certificates, without fsync: the data are temporary."""
    client = f"https://{_LOOPBACK}:{site.etcd_port}"
    peer = f"https://{_LOOPBACK}:{site.etcd_peer_port}"
    return _flags(
        name="testbed",
        data_dir=site.data / "etcd",
        listen_client_urls=client,
        advertise_client_urls=client,
        listen_peer_urls=peer,
        initial_advertise_peer_urls=peer,
        initial_cluster=f"testbed={peer}",
        cert_file=site.etcd.cert,
        key_file=site.etcd.key,
        client_cert_auth=True,
        trusted_ca_file=site.etcd_ca.cert,
        peer_cert_file=site.etcd.cert,
        peer_key_file=site.etcd.key,
        peer_client_cert_auth=True,
        peer_trusted_ca_file=site.etcd_ca.cert,
        unsafe_no_fsync=True,
        log_level="warn",
    )


def kube_apiserver(site: Site) -> list[str]:
    """TLS, RBAC, node restriction and the aggregation layer's request headers are all enabled."""
    return _flags(
        etcd_servers=f"https://{_LOOPBACK}:{site.etcd_port}",
        etcd_cafile=site.etcd_ca.cert,
        etcd_certfile=site.etcd.cert,
        etcd_keyfile=site.etcd.key,
        bind_address=_LOOPBACK,
        secure_port=site.api_port,
        # The API server refuses to publish a loopback address as its endpoint. No client here uses
        # its in-cluster address: advertise one reserved for documentation, and publish none.
        advertise_address="192.0.2.1",
        endpoint_reconciler_type="none",
        external_hostname="localhost",
        service_cluster_ip_range=_SERVICE_RANGE,
        allow_privileged=True,
        authorization_mode="Node,RBAC",
        client_ca_file=site.ca.cert,
        tls_cert_file=site.serving.cert,
        tls_private_key_file=site.serving.key,
        service_account_issuer=_ISSUER,
        service_account_key_file=site.service_accounts.cert,
        service_account_signing_key_file=site.service_accounts.key,
        requestheader_client_ca_file=site.front_proxy_ca.cert,
        requestheader_allowed_names="front-proxy-client",
        requestheader_username_headers="X-Remote-User",
        requestheader_group_headers="X-Remote-Group",
        requestheader_extra_headers_prefix="X-Remote-Extra-",
        proxy_client_cert_file=site.front_proxy.cert,
        proxy_client_key_file=site.front_proxy.key,
    )


def kube_controller_manager(site: Site, kubeconfig: Path, port: int) -> list[str]:
    """All controllers, without leader election: a restart must not wait for the old lease."""
    return _flags(
        **_delegation(site, kubeconfig, port),
        kubeconfig=kubeconfig,
        leader_elect=False,
        use_service_account_credentials=True,
        service_account_private_key_file=site.service_accounts.key,
        root_ca_file=site.ca.cert,
        cluster_signing_cert_file=site.ca.cert,
        cluster_signing_key_file=site.ca.key,
        service_cluster_ip_range=_SERVICE_RANGE,
        kube_api_qps=QPS,
        kube_api_burst=2 * QPS,
    )


def kube_scheduler(site: Site, kubeconfig: Path, port: int, config: Path) -> list[str]:
    """A scheduler with a KubeSchedulerConfiguration; `kubeconfig` authenticates its callers."""
    return _flags(**_delegation(site, kubeconfig, port), config=config)


def write_stock_scheduler_config(path: Path, kubeconfig: Path) -> Path:
    """Write the stock scheduler's configuration: the defaults, but for the client's rate limit."""
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": QPS, "burst": 2 * QPS},
        "leaderElection": {"leaderElect": False},
    }
    path.write_text(yaml.safe_dump(config))
    return path


_Value = str | int | Path


def _delegation(site: Site, kubeconfig: Path, port: int) -> dict[str, _Value]:
    """Serving flags of a component that delegates authentication to the API server."""
    return {
        "bind_address": _LOOPBACK,
        "secure_port": port,
        "tls_cert_file": site.serving.cert,
        "tls_private_key_file": site.serving.key,
        "authentication_kubeconfig": kubeconfig,
        "authorization_kubeconfig": kubeconfig,
    }


def _flags(**values: _Value) -> list[str]:
    return [f"--{name.replace('_', '-')}={_text(value)}" for name, value in values.items()]


def _text(value: _Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
