from pathlib import Path

import pytest

from acesniper.probe.platform_facts import cpu_model, cpu_quota, facts


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_facts_of_this_machine_are_plausible() -> None:
    result = facts()

    assert result.cores >= 1
    assert result.memory_bytes > 1 << 28
    assert result.cpu_model


def test_a_quota_of_cgroup_v2_counts_in_cores(tmp_path: Path) -> None:
    write(tmp_path / "membership", "0::/pod/container\n")
    write(tmp_path / "root/pod/container/cpu.max", "150000 100000")
    write(tmp_path / "root/pod/cpu.max", "max 100000")

    assert cpu_quota(tmp_path / "membership", tmp_path / "root") == 1.5


def test_the_lowest_quota_of_the_ancestors_counts(tmp_path: Path) -> None:
    write(tmp_path / "membership", "0::/pod/container\n")
    write(tmp_path / "root/pod/container/cpu.max", "200000 100000")
    write(tmp_path / "root/pod/cpu.max", "50000 100000")

    assert cpu_quota(tmp_path / "membership", tmp_path / "root") == 0.5


@pytest.mark.parametrize(("micros", "cores"), [("25000", 0.25), ("-1", None)])
def test_a_quota_of_cgroup_v1_counts_in_cores(
    tmp_path: Path, micros: str, cores: float | None
) -> None:
    write(tmp_path / "membership", "2:memory:/m\n1:cpu:/limited\n0::/\n")
    write(tmp_path / "root/cpu/limited/cpu.cfs_quota_us", micros)
    write(tmp_path / "root/cpu/limited/cpu.cfs_period_us", "100000")

    assert cpu_quota(tmp_path / "membership", tmp_path / "root") == cores


def test_a_board_has_its_name_from_the_device_tree(tmp_path: Path) -> None:
    write(tmp_path / "cpuinfo", "processor : 0\nModel : Raspberry Pi 4 Model B Rev 1.4\n")

    assert cpu_model(tmp_path / "cpuinfo") == "Raspberry Pi 4 Model B Rev 1.4"
