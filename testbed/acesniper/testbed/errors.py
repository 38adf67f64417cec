"""Errors while a testbed is built or run, one tree below AcesniperError.

TestbedError
├── BinariesMissing   a program is missing and cannot be built here; the message says what to do
├── BuildFailed       a build failed; the message ends with the compiler's output
├── NotReady          a process exited, or was not ready before its deadline; with its log
└── CommandFailed     kubectl or another command failed
"""

from acesniper.domain.errors import AcesniperError


class TestbedError(AcesniperError):
    """Base of the testbed's errors."""

    __test__ = False  # the name starts like a pytest class


class BinariesMissing(TestbedError):
    """A program is neither available nor buildable on this machine."""


class BuildFailed(TestbedError):
    """Building a program or an image failed."""


class NotReady(TestbedError):
    """A process exited, or was not ready before its deadline."""


class CommandFailed(TestbedError):
    """A command failed; `stderr` is what it printed."""

    def __init__(self, message: str, stderr: str) -> None:
        super().__init__(message)
        self.stderr = stderr
