"""One GET to the API server as the pod we run in, without the Kubernetes client.

The client and what it needs take 60 MiB; a probe that only waits must stay far below that.
"""

import json
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

from acesniper.domain.errors import InvalidInput, Unavailable

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and the cluster's certificate authority."""
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class PodApi:
    """The API server as seen from a pod."""

    url: str
    account: Path = ACCOUNT

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The API server that a pod's environment names.

        Raises:
            InvalidInput: it names none: this is no pod.
        """
        try:
            host, port = (environment[f"KUBERNETES_SERVICE_{each}"] for each in ("HOST", "PORT"))
        except KeyError as error:
            raise InvalidInput(
                f"no way to the cluster: {error} is not set; run in a pod"
            ) from error
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port}")

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at a URL path, None when there is none.

        Raises:
            Unavailable: the API server does not answer, or the right is missing.
        """
        try:
            # Read each time: the kubelet renews the token about once an hour.
            token = (self.account / "token").read_text()
            context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
            request = urllib.request.Request(  # noqa: S310 - https only, as built above
                self.url + path, headers={"Authorization": f"Bearer {token}"}
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise Unavailable(f"GET {path}: {error.code} {error.reason}") from error
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"GET {path}: the API server does not answer: {error}") from error
