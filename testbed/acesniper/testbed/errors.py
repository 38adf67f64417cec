"""What can go wrong while a testbed is built or run, one tree below AcesniperError.

TestbedError
├── BinariesMissing   there is nothing to run, and no way to build it; the message says what to do
├── BuildFailed       the Go compiler said no; the message ends with what it said
├── NotReady          a process did not become ready in time, or died; the message has its log
└── CommandFailed     kubectl answered with an error
"""

from acesniper.domain.errors import AcesniperError


class TestbedError(AcesniperError):
    """Base of the testbed's errors."""

    __test__ = False  # the name starts like a pytest class


class BinariesMissing(TestbedError):
    """The control-plane programs are neither given nor buildable here."""


class BuildFailed(TestbedError):
    """Building the control-plane programs failed."""


class NotReady(TestbedError):
    """A process died or did not become ready before its deadline."""


class CommandFailed(TestbedError):
    """A command against the control plane failed; `stderr` is what it said."""

    def __init__(self, message: str, stderr: str) -> None:
        super().__init__(message)
        self.stderr = stderr
