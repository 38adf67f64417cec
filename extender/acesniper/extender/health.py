"""Whether the extender lives and is ready, and its metrics: what the kubelet and Prometheus ask.

They are served on a port of their own as well, which others may reach: what is said here is no
secret, unlike plans and explanations.
"""

import asyncio

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from acesniper.extender.wiring import Extender


def create_health_app(state: Extender, registry: CollectorRegistry) -> FastAPI:
    """An application of these routes alone."""
    app = FastAPI(title="Ace-Sniper extender: health", docs_url=None, redoc_url=None)
    add_health(app, state, registry)
    return app


def add_health(app: FastAPI, state: Extender, registry: CollectorRegistry) -> None:
    """Add the routes to an application."""

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        if deaf := state.deaf():
            raise HTTPException(503, f"nothing was heard for minutes of {', '.join(deaf)}")
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        if missing := state.unsynced():
            raise HTTPException(503, f"not known yet: {', '.join(missing)}")
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        state.sampled.sample()
        content = await asyncio.to_thread(generate_latest, registry)
        return Response(content, media_type=CONTENT_TYPE_LATEST)
