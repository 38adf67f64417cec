"""The HTTP face of the extender: parse, call, answer."""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from acesniper.extender.filter_score import FilterScore
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.extender.protocol import (
    ExtenderArgs,
    FilterResult,
    HostPriority,
    decode_args,
    encode,
)
from acesniper.extender.wiring import Extender

log = logging.getLogger(__name__)

Answer = Callable[[ExtenderArgs], FilterResult | list[HostPriority]]


def create_app(state: Extender, registry: CollectorRegistry) -> FastAPI:
    """The application over a state that watches keep fresh.

    Every route is a coroutine: FastAPI runs plain functions in threads, over mappings that the
    watches change meanwhile.
    """
    app = FastAPI(title="Ace-Sniper extender", docs_url=None, redoc_url=None)
    answers = FilterScore(state.fleet, state.book, state.metrics, state.strangers.note)

    async def filter_(request: Request) -> Response:
        return await _answer("filter", request, answers.filter, state.metrics)

    async def prioritize(request: Request) -> Response:
        return await _answer("prioritize", request, answers.prioritize, state.metrics)

    # kube-scheduler's two questions skip FastAPI's parameter handling: they have none, and every
    # tenth of a millisecond is one of a scheduling cycle.
    for path, endpoint in (("/filter", filter_), ("/prioritize", prioritize)):
        app.router.routes.append(Route(path, endpoint, methods=["POST"]))

    @app.get("/explain")
    async def explain(pod: str) -> dict[str, object]:
        decision = state.decision(pod)
        if decision is None:
            raise HTTPException(404, f"no decision for pod {pod!r}; give its UID or namespace/name")
        return decision.model_dump(by_alias=True) | {"text": decision.sentence()}

    @app.get("/plan")
    async def plan() -> list[dict[str, object]]:
        return state.plan_rows()

    add_health(app, state, registry)
    return app


async def _answer(
    verb: str, request: Request, answer: Answer, metrics: ExtenderMetrics
) -> Response:
    try:
        body = await request.body()
        started_s = time.perf_counter()
        args = decode_args(body)
    except ClientDisconnect:
        return Response("gone in the middle of its question", status_code=400)
    except (msgspec.MsgspecError, RecursionError) as error:
        # kube-scheduler takes any status but 200 as "the extender is away", which fits; it does not
        # say what it was answered.
        text = f"not an ExtenderArgs with NodeNames (nodeCacheCapable: true): {error}"
        log.warning("/%s was asked what is %s", verb, text)
        return Response(text, status_code=400)
    content = encode(answer(args))
    metrics.request_nodes.labels(verb).observe(len(args.node_names))
    metrics.request_seconds.labels(verb).observe(time.perf_counter() - started_s)
    return Response(content, media_type="application/json")


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
