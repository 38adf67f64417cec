"""The page's own application: its files, and the JSON that they show (docs/reference/api.md)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from acesniper.domain.errors import Unavailable
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.page.explain import explain
from acesniper.extender.page.fleet import (
    DeviceQuery,
    FleetView,
    HeatMapWindow,
    RankingCache,
    heat_map,
)
from acesniper.extender.page.plan import PlanView
from acesniper.extender.page.tasks import TaskHistory, accuracy, task_list
from acesniper.extender.page.views import HEADERS, BuildView, Content, ViewCache, number
from acesniper.extender.planner import Planner
from acesniper.runtime.client import Cluster

TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
MAX_LIMIT = 200
"""Entries of a list in one answer."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1")
"""Names by which a page on the loopback address is asked for; others are another site's trick."""


@dataclass(slots=True)
class Page:
    """Reads the live state, on its loop; and shows it."""

    fleet: ClusterCache
    planner: Planner
    cluster: Cluster
    sightings: TaskHistory
    _rankings: RankingCache = field(default_factory=RankingCache)
    _views: ViewCache = field(default_factory=ViewCache)

    def app(self, host: str = LOOPBACK_NAMES[1]) -> Starlette:
        """The application, served on `host`."""
        views = {
            "/api/summary": self._summary,
            "/api/fleet": self._fleet,
            "/api/latency": self._latency,
            "/api/plan": self._plan,
            "/api/accuracy": self._accuracy,
            "/api/tasks": self._tasks,
        }
        routes = [_file(path, content) for path, content in _files().items()]
        routes += [Route(path, self._view(take)) for path, take in views.items()]
        routes.append(Route("/api/tasks/{namespace}/{name}", self._why))
        guard = [Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_NAMES))]
        return Starlette(
            routes=routes,
            middleware=guard if host in LOOPBACK_NAMES else [],
            exception_handlers={HTTPException: _say},  # type: ignore[dict-item] # a subclass
        )

    def _view(self, take: Callable[[Mapping[str, str]], BuildView]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            try:
                return await self._views.answer(request, lambda: take(request.query_params))
            except ValueError as error:
                raise HTTPException(400, str(error)) from error

        return endpoint

    def _sight(self) -> FleetView:
        fleet = self.fleet
        return FleetView(
            fleet.clock(),
            tuple(fleet.devices),
            fleet.devices.profiles(),
            fleet.ledger.reservations(),
        )

    def _summary(self, _: Mapping[str, str]) -> BuildView:
        sight, now_s = self._sight(), self.fleet.clock()
        waiting = self.fleet.waiting
        queue = {
            "waiting": len(waiting),
            "overdue": waiting.overdue(now_s),
            "oldestCreatedAt": round(now_s - waiting.oldest_s(now_s), 1) if len(waiting) else None,
        }
        models, policy = len(self.fleet.table.view().rows), self.planner.policy.name
        finished = tuple(self.sightings.finished)

        def build() -> object:
            known = accuracy(finished)
            del known["points"]
            return {
                "fleet": sight.totals(),
                "queue": queue,
                "models": models,
                "policy": policy,
                "accuracy": known,
            }

        return build

    def _fleet(self, query: Mapping[str, str]) -> BuildView:
        sight, seen = self._sight(), self.fleet.table.view()
        listing = DeviceQuery(
            search=query.get("search", ""),
            sort=query.get("sort", "backlog"),
            descending=query.get("order", "desc") != "asc",
            offset=number(query, "offset", 0),
            limit=number(query, "limit", 50, MAX_LIMIT),
        )
        return lambda: sight.page(self._rankings.of(seen), listing)

    def _latency(self, query: Mapping[str, str]) -> BuildView:
        seen = self.fleet.table.view()
        window = HeatMapWindow(
            row=number(query, "row", 0),
            rows=number(query, "rows", 1_000_000),
            column=number(query, "column", 0),
            columns=number(query, "columns", 1_000_000),
            height=number(query, "height", 48, 100),
            width=number(query, "width", 96, 200),
        )
        return lambda: heat_map(self._rankings.of(seen), window)

    def _plan(self, query: Mapping[str, str]) -> BuildView:
        ledger, pods = self.fleet.ledger, self.fleet.pods
        running = [(promise, pods.get(uid)) for uid, promise in ledger.items()]
        slots = {each.id: each.slots for each in self.fleet.devices}
        now_s, planner = self.fleet.clock(), self.planner
        sight = PlanView(now_s, planner.plan, planner.made_s, running, slots)
        offset, limit = number(query, "offset", 0), number(query, "limit", 25, MAX_LIMIT)
        return lambda: sight.page(offset, limit, query.get("search", ""))

    def _accuracy(self, _: Mapping[str, str]) -> BuildView:
        finished = tuple(self.sightings.finished)
        return lambda: accuracy(finished)

    def _tasks(self, query: Mapping[str, str]) -> BuildView:
        tasks = tuple(self.sightings.tasks.values())
        phase, search = query.get("phase", ""), query.get("search", "")
        offset, limit = number(query, "offset", 0), number(query, "limit", 50, MAX_LIMIT)
        return lambda: task_list(tasks, phase, search, offset, limit)

    async def _why(self, request: Request) -> Response:
        namespace, name = (request.path_params[each] for each in ("namespace", "name"))
        try:
            found = await explain(self.cluster, self.planner, namespace, name)
        except Unavailable as error:
            raise HTTPException(503, f"the API server does not answer: {error}") from error
        if found is None:
            raise HTTPException(404, f"there is no InferenceTask {name!r} in {namespace!r}")
        return JSONResponse(found, headers=HEADERS)


async def _say(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"detail": error.detail}, error.status_code, headers=HEADERS)


def _file(path: str, content: Content) -> Route:
    async def endpoint(request: Request) -> Response:
        return content.answer(request)

    return Route(path, endpoint)


def _files() -> dict[str, Content]:
    """All files of the page, read once; the first one is found at `/` too."""
    folder = files("acesniper.extender.page") / "static"
    found = dict(_walk(folder, "/"))
    return {"/": found["/index.html"], **found}


def _walk(folder: Traversable, path: str) -> "list[tuple[str, Content]]":
    found: list[tuple[str, Content]] = []
    for each in sorted(folder.iterdir(), key=lambda one: one.name):
        if each.is_dir():
            found += _walk(each, f"{path}{each.name}/")
        elif (kind := TYPES.get(each.name[each.name.rfind(".") :])) is not None:
            found.append((path + each.name, Content.of(each.read_bytes(), kind)))
    return found
