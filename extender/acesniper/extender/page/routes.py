"""HTTP application of the page: its files and JSON views (docs/reference/api.md)."""

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

from acesniper.domain.errors import InvalidInput, Unavailable
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
from acesniper.extender.page.views import (
    HEADERS,
    BuildView,
    Content,
    ViewCache,
    int_parameter,
)
from acesniper.extender.planner import Planner
from acesniper.runtime.client import Cluster

MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
MAX_LIMIT = 200
"""Largest number of list entries in one response."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1")
"""Host names accepted on the loopback address; any other indicates DNS rebinding."""


@dataclass(slots=True, kw_only=True)
class Page:
    """Copies the live state on the event loop, and serves views of it."""

    cache: ClusterCache
    planner: Planner
    cluster: Cluster
    history: TaskHistory
    _rankings: RankingCache = field(default_factory=RankingCache)
    _views: ViewCache = field(default_factory=ViewCache)

    def app(self, host: str = LOOPBACK_NAMES[1]) -> Starlette:
        """Return the application, to be served on `host`."""
        views = {
            "/api/summary": self._summary,
            "/api/fleet": self._fleet,
            "/api/latency": self._latency,
            "/api/plan": self._plan,
            "/api/accuracy": self._accuracy,
            "/api/tasks": self._tasks,
        }
        routes = [_file_route(path, content) for path, content in _static_files().items()]
        routes += [Route(path, self._view(prepare)) for path, prepare in views.items()]
        routes.append(Route("/api/tasks/{namespace}/{name}", self._task))
        trusted = [Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_NAMES))]
        return Starlette(
            routes=routes,
            middleware=trusted if host in LOOPBACK_NAMES else [],
            exception_handlers={HTTPException: _error},  # type: ignore[dict-item] # a subclass
        )

    def _view(
        self, prepare: Callable[[Mapping[str, str]], BuildView]
    ) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            try:
                return await self._views.respond(request, lambda: prepare(request.query_params))
            except ValueError as error:
                raise HTTPException(400, str(error)) from error

        return endpoint

    def _fleet_view(self) -> FleetView:
        cache = self.cache
        return FleetView(
            cache.clock(),
            tuple(cache.devices),
            cache.devices.profiles(),
            cache.ledger.reservations(),
        )

    def _summary(self, _: Mapping[str, str]) -> BuildView:
        fleet, now_s = self._fleet_view(), self.cache.clock()
        pending = self.cache.pending
        oldest_s = now_s - pending.oldest_age_s(now_s)
        queue = {
            "waiting": len(pending),
            "overdue": pending.overdue_count(now_s),
            "oldestCreatedAt": round(oldest_s, 1) if len(pending) else None,
        }
        models, policy = len(self.cache.table.view().rows), self.planner.policy.name
        finished = tuple(self.history.finished)

        def build() -> object:
            totals = accuracy(finished)
            del totals["points"]
            return {
                "fleet": fleet.totals(),
                "queue": queue,
                "models": models,
                "policy": policy,
                "accuracy": totals,
            }

        return build

    def _fleet(self, query: Mapping[str, str]) -> BuildView:
        fleet, latencies = self._fleet_view(), self.cache.table.view()
        device_query = DeviceQuery(
            search=query.get("search", ""),
            sort=query.get("sort", "backlog"),
            descending=query.get("order", "desc") != "asc",
            offset=int_parameter(query, "offset", 0),
            limit=int_parameter(query, "limit", 50, MAX_LIMIT),
        )
        return lambda: fleet.page(self._rankings.of(latencies), device_query)

    def _latency(self, query: Mapping[str, str]) -> BuildView:
        latencies = self.cache.table.view()
        window = HeatMapWindow(
            row=int_parameter(query, "row", 0),
            rows=int_parameter(query, "rows", 1_000_000),
            column=int_parameter(query, "column", 0),
            columns=int_parameter(query, "columns", 1_000_000),
            height=int_parameter(query, "height", 48, 100),
            width=int_parameter(query, "width", 96, 200),
        )
        return lambda: heat_map(self._rankings.of(latencies), window)

    def _plan(self, query: Mapping[str, str]) -> BuildView:
        ledger, pods = self.cache.ledger, self.cache.pods
        view = PlanView(
            now_s=self.cache.clock(),
            plan=self.planner.plan,
            planned_at_s=self.planner.planned_at_s,
            running=[(reservation, pods.get(uid)) for uid, reservation in ledger.items()],
            slots={device.id: device.slots for device in self.cache.devices},
        )
        offset = int_parameter(query, "offset", 0)
        limit = int_parameter(query, "limit", 25, MAX_LIMIT)
        return lambda: view.page(offset, limit, query.get("search", ""))

    def _accuracy(self, _: Mapping[str, str]) -> BuildView:
        finished = tuple(self.history.finished)
        return lambda: accuracy(finished)

    def _tasks(self, query: Mapping[str, str]) -> BuildView:
        tasks = tuple(self.history.tasks.values())
        phase, search = query.get("phase", ""), query.get("search", "")
        offset = int_parameter(query, "offset", 0)
        limit = int_parameter(query, "limit", 50, MAX_LIMIT)
        return lambda: task_list(tasks, phase, search, offset, limit)

    async def _task(self, request: Request) -> Response:
        namespace, name = (request.path_params[field] for field in ("namespace", "name"))
        try:
            explanation = await explain(self.cluster, self.planner, namespace, name)
        except InvalidInput as error:
            raise HTTPException(400, str(error)) from error
        except Unavailable as error:
            raise HTTPException(503, f"the API server does not respond: {error}") from error
        if explanation is None:
            raise HTTPException(404, f"InferenceTask {name!r} not found in namespace {namespace!r}")
        return JSONResponse(explanation, headers=HEADERS)


async def _error(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"detail": error.detail}, error.status_code, headers=HEADERS)


def _file_route(path: str, content: Content) -> Route:
    async def endpoint(request: Request) -> Response:
        return content.response(request)

    return Route(path, endpoint)


def _static_files() -> dict[str, Content]:
    """All files of the page, read once; the index is served at `/` too."""
    folder = files("acesniper.extender.page") / "static"
    contents = dict(_walk(folder, "/"))
    return {"/": contents["/index.html"], **contents}


def _walk(folder: Traversable, path: str) -> list[tuple[str, Content]]:
    contents: list[tuple[str, Content]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            contents += _walk(entry, f"{path}{entry.name}/")
        elif (kind := MEDIA_TYPES.get(entry.name[entry.name.rfind(".") :])) is not None:
            contents.append((path + entry.name, Content.of(entry.read_bytes(), kind)))
    return contents
