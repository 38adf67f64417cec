"""Download and upload of files over HTTP(S), S3-compatible stores and OCI registries.

Blocking, and without a client library per store: each would be larger than the runner, and of each
store one GET is needed (of S3 a PUT as well).
"""

from acesniper.runtime.artifacts.credentials import NO_CREDENTIALS, Credentials
from acesniper.runtime.artifacts.destinations import Destinations
from acesniper.runtime.artifacts.download import DownloadLimits, download
from acesniper.runtime.artifacts.http import HttpStatusError
from acesniper.runtime.artifacts.s3 import Bucket

__all__ = [
    "NO_CREDENTIALS",
    "Bucket",
    "Credentials",
    "Destinations",
    "DownloadLimits",
    "HttpStatusError",
    "download",
]
