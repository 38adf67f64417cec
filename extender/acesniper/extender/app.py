"""HTTP application of the extender: scheduler requests, `/explain`, `/plan`, health and metrics."""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from acesniper.domain.task import TaskKey
from acesniper.extender.filter_score import FilterScore
from acesniper.extender.http_server import MAX_ARGS_BYTES, BodyLimit
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

Respond = Callable[[ExtenderArgs], FilterResult | list[HostPriority]]


def create_app(extender: Extender, registry: CollectorRegistry) -> FastAPI:
    """Return the application.

    Every route is a coroutine: FastAPI runs plain functions in threads, where watch events would
    change the mappings while they are read.
    """
    app = FastAPI(title="Ace-Sniper extender", docs_url=None, redoc_url=None)
    filter_score = FilterScore(
        cache=extender.cache,
        decisions=extender.decisions,
        metrics=extender.metrics,
        on_unknown=extender.no_prediction_events.enqueue,
    )

    async def filter_(request: Request) -> Response:
        return await _respond("filter", request, filter_score.filter, extender.metrics)

    async def prioritize(request: Request) -> Response:
        return await _respond("prioritize", request, filter_score.prioritize, extender.metrics)

    # The scheduler's two routes bypass FastAPI's parameter handling, which they do not need: it
    # takes tenths of a millisecond of every scheduling cycle.
    for path, endpoint in (("/filter", filter_), ("/prioritize", prioritize)):
        app.router.routes.append(Route(path, endpoint, methods=["POST"]))

    @app.get("/explain")
    async def explain(pod: str) -> dict[str, object]:
        decision = extender.decision(pod)
        if decision is None:
            raise HTTPException(404, f"no decision for pod {pod!r}; pass its UID or namespace/name")
        return decision.model_dump(by_alias=True) | {"text": decision.sentence()}

    @app.get("/plan")
    async def plan() -> list[dict[str, object]]:
        return extender.plan_rows()

    @app.get("/waiting")
    async def waiting(task: str) -> dict[str, str]:
        reason = extender.planner.waiting_reason(TaskKey(task))
        if reason is None:
            raise HTTPException(404, f"task {task!r} is not in the plan; pass its namespace/name")
        return {"task": task, "reason": reason}

    @app.get("/namespaces")
    async def namespaces() -> list[dict[str, object]]:
        return [use.row() for use in extender.planner.shares.uses.values()]

    _add_health_routes(app, extender, registry)
    app.add_middleware(BodyLimit, max_bytes=MAX_ARGS_BYTES)
    return app


def create_health_app(extender: Extender, registry: CollectorRegistry) -> FastAPI:
    """Return an application with health and metrics only.

    It is served on a port of its own, which the kubelet and Prometheus can reach: unlike plans and
    decisions, these are not confidential.
    """
    app = FastAPI(title="Ace-Sniper extender: health", docs_url=None, redoc_url=None)
    _add_health_routes(app, extender, registry)
    return app


def _add_health_routes(app: FastAPI, extender: Extender, registry: CollectorRegistry) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        if stalled := extender.stalled():
            raise HTTPException(503, f"no watch events for minutes for {', '.join(stalled)}")
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        if missing := extender.unsynced():
            raise HTTPException(503, f"not synced yet: {', '.join(missing)}")
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        extender.gauges.sample()
        content = await asyncio.to_thread(generate_latest, registry)
        return Response(content, media_type=CONTENT_TYPE_LATEST)


async def _respond(
    verb: str, request: Request, respond: Respond, metrics: ExtenderMetrics
) -> Response:
    try:
        body = await request.body()
        started_s = time.perf_counter()
        args = decode_args(body)
    except ClientDisconnect:
        return Response("the client disconnected during the request", status_code=400)
    except (msgspec.MsgspecError, RecursionError) as error:
        # kube-scheduler treats every status but 200 as an unavailable extender and does not log
        # the body, so it is logged here.
        text = f"not an ExtenderArgs with NodeNames (nodeCacheCapable: true): {error}"
        log.warning("invalid /%s request: %s", verb, text)
        return Response(text, status_code=400)
    content = encode(respond(args))
    metrics.request_nodes.labels(verb).observe(len(args.node_names))
    metrics.request_seconds.labels(verb).observe(time.perf_counter() - started_s)
    return Response(content, media_type="application/json")
