"""Cache of the page's responses.

However many browsers show the page, each view is computed at most once a second: in a thread, one
at a time, and with a pause after each, so that responses to kube-scheduler and planning come first.
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
"""Pause after a view, as a multiple of the processor time it took: views use a fifth of a core."""
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
"""Computes a view from immutable data; runs in a thread."""


@dataclass(frozen=True, slots=True)
class Content:
    """A response body, plain and compressed, with its entity tag."""

    plain: bytes
    compressed: bytes
    tag: str
    media_type: str

    @classmethod
    def of(cls, plain: bytes, media_type: str) -> "Content":
        """Compress and tag a body."""
        compressed = gzip.compress(plain, 6, mtime=0) if len(plain) > MIN_GZIP_BYTES else b""
        return cls(plain, compressed, f'"{hashlib.sha256(plain).hexdigest()[:20]}"', media_type)

    def response(self, request: Request) -> Response:
        """Return the body in an accepted encoding, or 304 if the client has it."""
        headers = {**HEADERS, "ETag": self.tag}
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        if self.compressed and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.compressed, headers=headers, media_type=self.media_type)
        return Response(self.plain, headers=headers, media_type=self.media_type)


@dataclass(slots=True)
class ViewCache:
    """Views computed within the last second, by URL.

    `thread_time` returns the processor time of the calling thread in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    thread_time: Callable[[], float] = time.thread_time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _views: OrderedDict[str, tuple[float, Content]] = field(default_factory=OrderedDict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _resume_at_s: float = 0.0

    async def respond(self, request: Request, prepare: Callable[[], BuildView]) -> Response:
        """Return a view. `prepare` copies the live state; the function it returns uses the copy."""
        url = f"{request.url.path}?{request.url.query}"
        async with self._lock:
            cached = self._views.get(url)
            if cached is not None and self.clock() - cached[0] < MAX_AGE_S:
                content = cached[1]
            else:
                await self.sleep(max(self._resume_at_s - self.clock(), 0.0))
                content, spent_s = await asyncio.to_thread(_build, prepare(), self.thread_time)
                built_at_s = self.clock()
                self._resume_at_s = built_at_s + REST_FACTOR * spent_s
                self._views[url] = built_at_s, content
                self._views.move_to_end(url)
                while len(self._views) > MAX_VIEWS:
                    self._views.popitem(last=False)
        return content.response(request)


def _build(build: BuildView, thread_time: Callable[[], float]) -> tuple[Content, float]:
    """Return the view, and the processor time it took."""
    before_s = thread_time()
    content = Content.of(msgspec.json.encode(build()), "application/json")
    return content, thread_time() - before_s


def int_parameter(query: Mapping[str, str], name: str, default: int, most: int = 1_000_000) -> int:
    """Return an integer of the query string, limited to 0 to `most`.

    Raises:
        ValueError: the text is no integer.
    """
    text = query.get(name)
    return default if not text else min(max(int(text), 0), most)
