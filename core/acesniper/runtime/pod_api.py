"""GET requests to the API server from inside a pod, without the Kubernetes client.

The client and its dependencies take 60 MiB, too much for a probe that mostly sleeps.
"""

import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

from acesniper.api.untrusted_json import parse_object
from acesniper.domain.errors import InvalidInput, Unavailable

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Folder of the service account's token and the cluster's certificate authority."""
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class PodApi:
    """Access to the API server with the service account of this pod."""

    url: str
    account: Path = ACCOUNT

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The API server from the environment of the pod.

        Raises:
            InvalidInput: the environment is not that of a pod.
        """
        try:
            host, port = (environment[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
        except KeyError as error:
            raise InvalidInput(
                f"cannot connect to a cluster: {error} is not set; run in a pod"
            ) from error
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port}")

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at a URL path; None if it does not exist.

        Raises:
            Unavailable: the API server does not answer, or a permission is missing.
        """
        try:
            # Read every time, as the kubelet renews the token about once an hour.
            token = (self.account / "token").read_text()
            context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
            request = urllib.request.Request(  # noqa: S310 - https only, as built above
                self.url + path, headers={"Authorization": f"Bearer {token}"}
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as response:  # noqa: S310
                return parse_object(response.read())
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise Unavailable(f"GET {path}: {error.code} {error.reason}") from error
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"GET {path}: the API server does not answer: {error}") from error
