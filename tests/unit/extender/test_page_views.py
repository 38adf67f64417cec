"""How often the page's views are made, and how they are sent."""

import gzip

import pytest
from starlette.requests import Request

from acesniper.extender.page.views import (
    MAX_VIEWS,
    REST_FACTOR,
    BuildView,
    Content,
    ViewCache,
    int_parameter,
)


def request(path: str = "/api/fleet", query: str = "", **headers: str) -> Request:
    """A GET of a browser."""
    given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": given,
        "server": ("127.0.0.1", 80),
    }
    return Request(scope)


class Making:
    """Views whose time is ours: making one takes `cost_s`."""

    def __init__(self, cost_s: float = 0.0) -> None:
        self.now_s, self.cost_s, self.made = 100.0, cost_s, 0
        self.views = ViewCache(clock=self.now, thread_time=self.now, sleep=self.sleep)

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def take(self) -> BuildView:
        def build() -> object:
            self.made += 1
            self.now_s += self.cost_s
            return {"made": self.made}

        return build


async def test_a_view_is_made_once_a_second_however_many_look() -> None:
    making = Making()

    first = await making.views.respond(request(), making.take)
    making.now_s += 0.9
    second = await making.views.respond(request(), making.take)
    making.now_s += 0.1
    third = await making.views.respond(request(), making.take)

    assert (first.body, second.body, third.body) == (
        b'{"made":1}',
        b'{"made":1}',
        b'{"made":2}',
    )


async def test_after_a_view_nothing_is_made_for_a_while() -> None:
    making = Making(cost_s=0.5)

    for offset in range(3):
        await making.views.respond(request(query=f"offset={offset}"), making.take)

    assert making.now_s - 100.0 == pytest.approx(3 * 0.5 + 2 * REST_FACTOR * 0.5)


async def test_what_is_kept_has_a_bound() -> None:
    making = Making()

    for offset in range(3 * MAX_VIEWS):
        await making.views.respond(request(query=f"offset={offset}"), making.take)

    assert len(making.views._views) == MAX_VIEWS


def test_a_browser_that_has_it_gets_no_body() -> None:
    content = Content.of(b"x" * 1000, "text/plain")

    answer = content.response(request(if_none_match=content.tag))

    assert (answer.status_code, answer.body) == (304, b"")


def test_large_bodies_are_packed_for_those_who_unpack_them() -> None:
    content = Content.of(b"x" * 1000, "text/plain")

    packed = content.response(request(accept_encoding="gzip, br"))
    plain = content.response(request())

    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(packed.body)) == plain.body
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    ("text", "found"), [("", 7), ("3", 3), ("-3", 0), ("99", 50)], ids=["none", "some", "-", "+"]
)
def test_numbers_stay_within_bounds(text: str, found: int) -> None:
    assert int_parameter({"limit": text}, "limit", 7, 50) == found
