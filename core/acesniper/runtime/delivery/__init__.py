"""Files from elsewhere: http(s), S3-compatible stores and OCI registries, with one HTTP client.

Written for threads and without a library for each store: those weigh more than the runner itself,
and what is needed of each is one GET.
"""

from acesniper.runtime.artifacts.credentials import NONE as NO_CREDENTIALS
from acesniper.runtime.artifacts.credentials import Credentials as Credentials
from acesniper.runtime.artifacts.download import Limits as Limits
from acesniper.runtime.artifacts.download import download as download
from acesniper.runtime.artifacts.s3 import Bucket as Bucket

__all__ = ["NO_CREDENTIALS", "Bucket", "Credentials", "Limits", "download"]
