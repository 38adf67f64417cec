"""The liveness probe of the operator."""

import asyncio
from types import SimpleNamespace

import aiohttp
import kopf
import pytest

# kopf serves its health only as part of a whole operator; here without a cluster.
from kopf._core.engines.probing import health_reporter

from acesniper.operator.cache import ObjectCache
from acesniper.operator.handlers import build_registry
from acesniper.runtime.watch import STALLED_AFTER_S


async def asked(store: ObjectCache, stalled: list[str], port: int) -> int:
    controller = SimpleNamespace(store=store, queued=lambda: 0)
    ready = asyncio.Event()
    serving = asyncio.create_task(
        health_reporter(
            f"http://127.0.0.1:{port}/healthz",
            memo=kopf.Memo(),  # type: ignore[arg-type]  # kopf annotates its own wrapper
            indices={},
            registry=build_registry(controller, 90.0, lambda: stalled),  # type: ignore[arg-type]  # what health needs of it
            settings=kopf.OperatorSettings(),
            ready_flag=ready,
        )
    )
    await ready.wait()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/healthz") as answer,
    ):
        status = answer.status
    serving.cancel()
    await asyncio.wait([serving])
    return status


async def test_an_operator_with_live_watches_is_live(unused_tcp_port: int) -> None:
    assert await asked(ObjectCache(), [], unused_tcp_port) == 200


@pytest.mark.parametrize("who", ["reflector", "kopf"])
async def test_an_operator_with_a_stalled_watch_is_not_live(unused_tcp_port: int, who: str) -> None:
    store, now_s = ObjectCache(), [0.0]
    store.liveness.clock = lambda: now_s[0]
    if who == "kopf":
        store.expect_event("InferenceTask", {"resourceVersion": "1"}, {"resourceVersion": "2"})
        now_s[0] = 2 * STALLED_AFTER_S

    status = await asked(store, ["pods"] if who == "reflector" else [], unused_tcp_port)

    assert status == 500
