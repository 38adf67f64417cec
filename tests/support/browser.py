"""A real Chromium for tests of the page, and the page of a fleet served on a port."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from playwright.sync_api import Browser, Page, Response, sync_playwright

from acesniper.extender.wiring import Extender
from acesniper.testbed import packages
from acesniper.testbed.processes import free_port

SIZES = {"desktop": (1280, 800), "tablet": (820, 1100), "phone": (360, 740)}
VIEWS = ("fleet", "latency", "plan", "accuracy", "tasks", "task/default/night-0001")


@contextmanager
def chromium_running() -> Iterator[Browser]:
    """Chromium, without a screen. Raises BinariesMissing where it cannot be fetched."""
    found = packages.ensure_chromium()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found.program,
            env=dict(found.environment),
            args=["--no-sandbox"],  # a container's root may not make one; the pages are ours
        )
        yield browser
        browser.close()


@contextmanager
def served(state: Extender) -> Iterator[str]:
    """The page of a state, on a loop in a thread of its own; yields its address."""
    assert state.page is not None
    port = free_port()
    config = uvicorn.Config(
        state.page.app(), host="127.0.0.1", port=port, access_log=False, log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="page")
    thread.start()
    started = threading.Event()
    while not server.started and thread.is_alive():
        started.wait(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Visit:
    """A tab, with everything that went wrong or over the wire in it."""

    page: Page
    address: str
    wrong: list[str] = field(default_factory=list)
    bytes_received: int = 0

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("response", self._count)

    def open(self, view: str) -> None:
        """Go to a view and wait until it shows something."""
        self.page.goto(f"{self.address}/#/{view}")
        self.page.locator("main .panel:not(.empty)").first.wait_for()

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(text)

    def _count(self, response: Response) -> None:
        self.bytes_received += int(response.headers.get("content-length", 0))


@contextmanager
def visiting(
    browser: Browser, address: str, size: str = "desktop", theme: str = "light"
) -> Iterator[Visit]:
    """A tab of a size, in light or dark."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        device_scale_factor=2 if size == "phone" else 1,
    )
    yield Visit(context.new_page(), address)
    context.close()
