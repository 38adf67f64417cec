# ruff: noqa: INP001 (a program and its modules, not a package)
"""The example platforms: one machine made into many by runtime, threads, instruction set and quota.

They differ as real devices do: by what they are good at, not only by how fast they are.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Platform:
    """How a platform is run. `quota` limits it, in cores; `isa` is what oneDNN may use."""

    name: str
    runtime: str = "onnxruntime"
    threads: int = 1
    quota: float | None = None
    isa: str | None = None
    precision: str = "f32"
    optimise: bool = True

    def options(self) -> list[str]:
        """The options of `acesniper probe` and `acesniper collect`."""
        given = ["--runtime", self.runtime, "--threads", str(self.threads)]
        given += ["--precision", self.precision]
        return given if self.optimise else [*given, "--no-optimise"]

    def environment(self) -> dict[str, str]:
        """What the runtime reads from the environment."""
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
