"""Settings of the probe, which loads nothing large while it waits: no policies, no numpy."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from acesniper.runtime.settings import EnvironmentSettings


class ProbeSettings(EnvironmentSettings):
    """The probe of a node, as a DaemonSet runs it."""

    node: Annotated[str, Field(min_length=1)]
    """The node it measures: the downward API's spec.nodeName."""
    check_s: Annotated[float, Field(gt=0)] = 60.0
    """Pause between two looks at whether the node should be measured anew."""
    quick: bool = False
    """About 3 s instead of 10 to 30: fewer rounds, nothing under load."""
    published_file: Path = Path("/tmp/published")  # noqa: S108 - a volume of the pod's own
    """Exists once the profile is in the cluster: the pod's readiness."""
