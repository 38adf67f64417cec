"""How the page answers: what was made in a thread is kept for a moment, and tagged.

However many look at the page, each view is made once a second at most, one view at a time, never on
the loop that answers kube-scheduler, and with a rest after each, so that the planner has its share.
"""

import asyncio
import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from starlette.requests import Request
from starlette.responses import Response

MAX_AGE_S = 1.0
REST_FACTOR = 4.0
"""After a view nothing is made for so many times as long as it kept a core busy: a fifth of one."""
MAX_VIEWS = 32
MIN_GZIP_BYTES = 500
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}

BuildView = Callable[[], object]
"""Works an answer out; runs in a thread, on what nothing changes."""


@dataclass(frozen=True, slots=True)
class Content:
    """A body, as it is and packed, with its tag."""

    plain: bytes
    packed: bytes
    tag: str
    media_type: str

    @classmethod
    def of(cls, plain: bytes, media_type: str) -> "Content":
        """Pack and tag a body."""
        packed = gzip.compress(plain, 6, mtime=0) if len(plain) > MIN_GZIP_BYTES else b""
        return cls(plain, packed, f'"{hashlib.sha256(plain).hexdigest()[:20]}"', media_type)

    def answer(self, request: Request) -> Response:
        """The body in the form that was asked for; nothing if the asker has it."""
        headers = {**HEADERS, "ETag": self.tag}
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        if self.packed and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.packed, headers=headers, media_type=self.media_type)
        return Response(self.plain, headers=headers, media_type=self.media_type)


@dataclass(slots=True)
class ViewCache:
    """The views that were made a moment ago, by their address."""

    clock: Callable[[], float] = time.monotonic
    spent: Callable[[], float] = time.thread_time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _made: OrderedDict[str, tuple[float, Content]] = field(default_factory=OrderedDict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _rested_s: float = 0.0

    async def answer(self, request: Request, take: Callable[[], BuildView]) -> Response:
        """Answer with a view; `take` looks at the live state, what it returns works on that."""
        address = f"{request.url.path}?{request.url.query}"
        async with self._turn:
            known = self._made.get(address)
            if known is not None and self.clock() - known[0] < MAX_AGE_S:
                content = known[1]
            else:
                await self.sleep(max(self._rested_s - self.clock(), 0.0))
                content, spent_s = await asyncio.to_thread(_made, take(), self.spent)
                made_s = self.clock()
                self._rested_s = made_s + REST_FACTOR * spent_s
                self._made[address] = made_s, content
                self._made.move_to_end(address)
                while len(self._made) > MAX_VIEWS:
                    self._made.popitem(last=False)
        return content.answer(request)


def _made(build: BuildView, spent: Callable[[], float]) -> tuple[Content, float]:
    """The view, and how long it kept a core busy."""
    before_s = spent()
    content = Content.of(msgspec.json.encode(build()), "application/json")
    return content, spent() - before_s


def number(query: Mapping[str, str], name: str, default: int, most: int = 1_000_000) -> int:
    """A whole number of a query, no less than 0 and no more than `most`.

    Raises:
        ValueError: it is no number.
    """
    text = query.get(name)
    return default if not text else min(max(int(text), 0), most)
