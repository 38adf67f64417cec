from acesniper.api.scheduler_config import EXTENDER_WEIGHT, SchedulerConfig
from acesniper.api.units import duration_s
from acesniper.runtime.leader_election import RENEWALS_PER_LEASE
from acesniper.runtime.settings import ExtenderSettings

ALL_DEFAULT_PLUGINS = 12 * 100
POINTS_PER_SCORE = 10  # kube-scheduler scales an extender's 0..10 to its own 0..100


def test_one_extender_point_outweighs_all_other_plugins() -> None:
    assert EXTENDER_WEIGHT * POINTS_PER_SCORE > ALL_DEFAULT_PLUGINS


def test_the_scheduler_ignores_an_unavailable_extender() -> None:
    (extender,) = SchedulerConfig(timeout_s=0.5).manifest()["extenders"]

    assert extender["ignorable"] is True
    assert extender["nodeCacheCapable"] is True
    assert extender["httpTimeout"] == "0.5s"


def test_settings_are_written_to_the_configuration() -> None:
    config = SchedulerConfig("http://x:1", "/k", "mine", "ns", "lease", leader_elect=False, qps=7)

    manifest = config.manifest()

    assert manifest["extenders"][0]["urlPrefix"] == "http://x:1"
    assert manifest["clientConnection"] == {"kubeconfig": "/k", "qps": 7, "burst": 14}
    assert manifest["profiles"][0]["schedulerName"] == "mine"
    election = manifest["leaderElection"]
    assert (election["resourceNamespace"], election["resourceName"]) == ("ns", "lease")
    assert election["leaderElect"] is False


def test_every_node_is_scored() -> None:
    (profile,) = SchedulerConfig().manifest()["profiles"]

    assert profile["percentageOfNodesToScore"] == 100


def test_an_extender_over_https_is_verified_with_its_certificate() -> None:
    (extender,) = SchedulerConfig(tls_folder="/tls").manifest()["extenders"]

    assert extender["enableHTTPS"] is True
    assert extender["tlsConfig"] == {
        "certFile": "/tls/tls.crt",
        "keyFile": "/tls/tls.key",
        "caFile": "/tls/ca.crt",
    }


def test_the_embedded_configuration_keeps_the_default_scheduler() -> None:
    manifest = SchedulerConfig(embedded=True).manifest()

    names = [profile["schedulerName"] for profile in manifest["profiles"]]
    assert names == ["default-scheduler", "ace-sniper"]
    assert "leaderElection" not in manifest


def test_a_standby_replica_takes_over_within_fifteen_seconds() -> None:
    """The last renewal is seen within one retry; the lease expires; the next retry takes it."""
    election = SchedulerConfig().manifest()["leaderElection"]
    lease_s, renew_s, retry_s = (
        duration_s(election[name]) for name in ("leaseDuration", "renewDeadline", "retryPeriod")
    )
    max_retry_s = 2.2 * retry_s  # client-go adds a random jitter of up to 1.2 times the period
    planner_lease_s = ExtenderSettings().lease_s

    assert lease_s + 2 * max_retry_s <= 15.0
    assert planner_lease_s + 2 * planner_lease_s / RENEWALS_PER_LEASE <= 15.0
    assert lease_s > renew_s > max_retry_s, "the constraints of kube-scheduler"
