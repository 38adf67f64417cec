from acesniper.api.scheduler_config import EXTENDER_WEIGHT, SchedulerConfig
from acesniper.api.units import duration_s
from acesniper.runtime.leader_election import RENEWALS_PER_LEASE
from acesniper.runtime.settings import ExtenderSettings

ALL_DEFAULT_PLUGINS = 12 * 100
POINTS_PER_SCORE = 10  # kube-scheduler scales an extender's 0..10 to its own 0..100


def test_one_point_of_ours_outweighs_all_other_plugins() -> None:
    assert EXTENDER_WEIGHT * POINTS_PER_SCORE > ALL_DEFAULT_PLUGINS


def test_the_scheduler_goes_on_without_us() -> None:
    (extender,) = SchedulerConfig(timeout_s=0.5).manifest()["extenders"]

    assert extender["ignorable"] is True
    assert extender["nodeCacheCapable"] is True
    assert extender["httpTimeout"] == "0.5s"


def test_settings_reach_the_configuration() -> None:
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


def test_an_extender_over_https_is_never_trusted_blindly() -> None:
    (extender,) = SchedulerConfig(tls_folder="/tls").manifest()["extenders"]

    assert extender["enableHTTPS"] is True
    assert extender["tlsConfig"] == {
        "certFile": "/tls/tls.crt",
        "keyFile": "/tls/tls.key",
        "caFile": "/tls/ca.crt",
    }


def test_the_clusters_own_scheduler_goes_on_with_all_other_pods() -> None:
    manifest = SchedulerConfig(embedded=True).manifest()

    names = [each["schedulerName"] for each in manifest["profiles"]]
    assert names == ["default-scheduler", "ace-sniper"]
    assert "leaderElection" not in manifest


def test_another_pod_schedules_and_plans_within_fifteen_seconds() -> None:
    """A renewal is seen one try later at the latest, goes stale, and is taken by the next try."""
    election = SchedulerConfig().manifest()["leaderElection"]
    lease_s, renew_s, retry_s = (
        duration_s(election[each]) for each in ("leaseDuration", "renewDeadline", "retryPeriod")
    )
    longest_try_s = 2.2 * retry_s  # client-go adds up to 1.2 of it at random
    planner_s = ExtenderSettings().lease_s

    assert lease_s + 2 * longest_try_s <= 15.0
    assert planner_s + 2 * planner_s / RENEWALS_PER_LEASE <= 15.0
    assert lease_s > renew_s > longest_try_s, "what kube-scheduler demands of them"
