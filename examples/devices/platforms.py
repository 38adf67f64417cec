# ruff: noqa: INP001 (a program and its modules, not a package)
"""Example platforms: one machine with different runtimes, threads, instruction sets and quotas.

They differ as real devices do, in the operators they are fast at and not only in speed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Platform:
    """Configuration of a platform. `quota` is a limit in cores; `isa` limits oneDNN."""

    name: str
    runtime: str = "onnxruntime"
    threads: int = 1
    quota: float | None = None
    isa: str | None = None
    precision: str = "f32"
    optimise: bool = True

    def options(self) -> list[str]:
        """Options of `acesniper probe` and `acesniper collect`."""
        arguments = ["--runtime", self.runtime, "--threads", str(self.threads)]
        arguments += ["--precision", self.precision]
        return arguments if self.optimise else [*arguments, "--no-optimise"]

    def environment(self) -> dict[str, str]:
        """Environment variables for the runtime."""
        return {"ONEDNN_MAX_CPU_ISA": self.isa} if self.isa else {}


PLATFORMS = (
    Platform("ort-2t", threads=2),
    Platform("ort-1t"),
    Platform("ort-1t-plain", optimise=False),
    Platform("ort-1t-q50", quota=0.5),
    Platform("ort-1t-q30", quota=0.3),
    Platform("vino-2t-bf16", "openvino", threads=2, precision="bf16"),
    Platform("vino-2t", "openvino", threads=2),
    Platform("vino-1t", "openvino"),
    Platform("vino-1t-bf16-q70", "openvino", quota=0.7, precision="bf16"),
    Platform("vino-1t-avx2-q80", "openvino", quota=0.8, isa="AVX2"),
    Platform("vino-2t-avx", "openvino", threads=2, isa="AVX"),
    Platform("vino-1t-avx-q60", "openvino", quota=0.6, isa="AVX"),
    Platform("tract-1t", "tract"),
    Platform("tract-1t-q40", "tract", quota=0.4),
)
