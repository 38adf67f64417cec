"""The platforms of the atlas: one machine in many configurations.

They differ as devices do: in kernels, instruction sets, precision, threads and graph optimisation,
not only in speed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Platform:
    """Configuration of a platform; `environment` has the variables of its runtime."""

    name: str
    runtime: str
    threads: int = 1
    precision: str = "f32"
    optimise: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    quota: float | None = None

    def options(self) -> list[str]:
        """The options of `acesniper probe` and `acesniper collect`."""
        arguments = ["--runtime", self.runtime, "--threads", str(self.threads)]
        arguments += ["--precision", self.precision]
        return arguments if self.optimise else [*arguments, "--no-optimise"]


def isa(name: str, torch: str = "") -> Mapping[str, str]:
    """The environment that limits oneDNN, and torch's own kernels, to an instruction set."""
    limits = {"ONEDNN_MAX_CPU_ISA": name}
    return {**limits, "ATEN_CPU_CAPABILITY": torch} if torch else limits


PLATFORMS = (
    Platform("ort", "onnxruntime"),
    Platform("openvino", "openvino"),
    Platform("ncnn", "ncnn"),
    Platform("mnn", "mnn"),
    Platform("tract", "tract"),
    Platform("torch", "torch"),
    Platform("opencv", "opencv"),
    Platform("ort-plain", "onnxruntime", optimise=False),
    Platform("openvino-bf16", "openvino", precision="bf16"),
    Platform("openvino-avx2", "openvino", environment=isa("AVX2")),
    Platform("mnn-bf16", "mnn", precision="bf16"),
    Platform("ort-web", "onnxruntime-web"),
    Platform("ncnn-plain", "ncnn", optimise=False),
    Platform("torch-native", "torch", optimise=False),
    Platform("opencv-plain", "opencv", optimise=False),
    Platform("ncnn-bf16", "ncnn", precision="bf16"),
    Platform("torch-avx2", "torch", environment=isa("AVX2", "avx2")),
)
"""Not among them: OpenVINO limited to SSE 4.1. There a third of the networks, and six probes, gave
wrong results."""
