"""The page in a real Chromium: what people see, with pointer and keyboard, at three sizes.

Each test leaves pictures in `build/page`.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from acesniper.api.names import INFERENCE_TASKS
from acesniper.extender.wiring import Extender
from acesniper.runtime.skipped import DELETE, UPSERT
from acesniper.testbed.deployment import ROOT
from acesniper.testbed.errors import BinariesMissing
from browser import SIZES, VIEWS, Visit, chromium_running, served, visiting
from builders import make_itask
from fake_cluster import FakeCluster
from page_fleet import page_state

PICTURES = ROOT / "build/page"
MOST_BYTES = 1_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium_running() as running:
            yield running
    except BinariesMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def small() -> Extender:
    return page_state(5, 3)


@pytest.fixture(scope="module")
def address(small: Extender) -> Iterator[str]:
    with served(small) as address:
        yield address


@pytest.fixture(scope="module")
def large_address() -> Iterator[str]:
    with served(page_state(5000, 1000)) as address:
        yield address


def picture(visit: Visit, view: str, devices: int, size: str, theme: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    name = view.partition("/")[0]
    visit.page.screenshot(path=PICTURES / f"{name}-{devices}-{size}-{theme}.png")


def overflow(visit: Visit) -> int:
    """How much wider than the screen the page is."""
    return int(visit.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_view_shows_at_every_size_and_nothing_goes_wrong(
    browser: Browser, address: str, size: str, theme: str
) -> None:
    with visiting(browser, address, size, theme) as visit:
        look_at_all(visit, 5, size, theme)


@pytest.mark.parametrize(("size", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_every_view_shows_a_large_fleet(
    browser: Browser, large_address: str, size: str, theme: str
) -> None:
    with visiting(browser, large_address, size, theme) as visit:
        look_at_all(visit, 5000, size, theme)

        assert 10_000 < visit.bytes_received <= MOST_BYTES


def look_at_all(visit: Visit, devices: int, size: str, theme: str) -> None:
    for view in VIEWS:
        visit.open(view)
        picture(visit, view, devices, size, theme)
        assert overflow(visit) <= 0, (view, devices)
    assert visit.wrong == []


def test_changes_show_without_a_reload(browser: Browser, small: Extender, address: str) -> None:
    with visiting(browser, address) as visit:
        visit.open("tasks")
        expect(visit.page.get_by_role("link", name="just-made")).to_have_count(0)

        (tasks,) = (
            reflector for reflector in small.reflectors if reflector.kind is INFERENCE_TASKS
        )
        made = {"creationTimestamp": "2099-01-01T00:00:00Z"}
        tasks.apply(UPSERT, make_itask("just-made", metadata=made))

        expect(visit.page.get_by_role("link", name="just-made")).to_be_visible()


def test_devices_are_found_and_sorted(browser: Browser, address: str) -> None:
    with visiting(browser, address) as visit:
        visit.open("fleet")
        names = visit.page.locator("tbody tr td:first-child")
        visit.page.get_by_role("button", name="Speed").click()
        expect(names.first).to_contain_text("orin-nano-0004")
        visit.page.get_by_role("button", name="Speed").click()
        expect(names.first).to_contain_text("pi4-0000")

        visit.page.get_by_role("searchbox").fill("ROCK")

        expect(names).to_have_count(1)
        expect(visit.page.get_by_text("Drifting")).to_have_count(0)


def test_a_small_fleets_latencies_can_be_read_with_their_intervals(
    browser: Browser, small: Extender, address: str
) -> None:
    with visiting(browser, address) as visit:
        visit.open("latency")

        cells = visit.page.locator("table.cells td small")
        expect(cells).to_have_count(15)
        assert all(" to " in text for text in cells.all_inner_texts())
        assert len(small.cache.table.view().rows) == 3


def test_a_large_heat_map_is_walked_with_the_keyboard(browser: Browser, large_address: str) -> None:
    with visiting(browser, large_address) as visit:
        visit.open("latency")
        reading = visit.page.locator(".reading")
        before = reading.inner_text()
        visit.page.locator(".map canvas").focus()
        for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
            visit.page.keyboard.press(key)
        expect(reading).not_to_have_text(before)

        visit.page.keyboard.press("Enter")
        expect(visit.page.get_by_text("Models 26 to 50 of 1,000")).to_be_visible()
        visit.page.get_by_role("button", name="Back").click()

        expect(visit.page.get_by_text("1,000 models on 5,000 devices")).to_be_visible()


def test_a_task_shows_its_candidates_term_by_term(browser: Browser, address: str) -> None:
    with visiting(browser, address) as visit:
        visit.open("tasks")
        visit.page.get_by_role("link", name="night-0001").click()

        expect(visit.page.get_by_role("heading", name="night-0001 in default")).to_be_visible()
        expect(visit.page.get_by_text("pi4-0000 on edge-0000 · chosen")).to_be_visible()
        bars = visit.page.get_by_role("group", name="Finish time of each candidate, term by term")
        expect(bars.locator("rect.run")).to_have_count(4)
        expect(visit.page.get_by_text("needs 2.1 GiB of memory")).to_be_visible()


def test_the_tab_key_leads_through_the_page(browser: Browser, address: str) -> None:
    with visiting(browser, address) as visit:
        visit.open("fleet")
        reached = []
        for _ in range(9):
            visit.page.keyboard.press("Tab")
            reached.append(visit.page.evaluate("document.activeElement.innerText || 'box'").strip())

        assert reached[:3] == ["Skip to content", "Ace-Sniper", "Fleet"]
        assert reached[3:7] == ["Latency", "Plan", "Accuracy", "Tasks"]


def test_skipping_to_the_content_keeps_the_view(browser: Browser, address: str) -> None:
    with visiting(browser, address) as visit:
        visit.open("tasks")
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("Enter")

        assert visit.page.evaluate("document.activeElement.id") == "main"
        expect(visit.page.get_by_role("heading", name="Tasks")).to_be_visible()


@pytest.mark.parametrize("view", ["constructor", "task/default/%", "nothing"])
def test_an_address_of_no_view_shows_something(browser: Browser, address: str, view: str) -> None:
    with visiting(browser, address) as visit:
        visit.page.goto(f"{address}/#/{view}")

        expect(visit.page.locator("main .panel").first).to_be_visible()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_long_names_do_not_push_the_rest_aside(browser: Browser, size: str) -> None:
    state = page_state(2, 1, finished=1)
    (tasks,) = (reflector for reflector in state.reflectors if reflector.kind is INFERENCE_TASKS)
    made = make_itask(
        "x" * 253,
        "n" * 63,
        model="m" * 63,
        status={"phase": "Failed", "device": "d" * 200, "message": "image " + "i" * 300},
        metadata={"creationTimestamp": "2099-01-01T00:00:00Z"},
    )
    tasks.apply(UPSERT, made)
    assert isinstance(tasks.cluster, FakeCluster)
    tasks.cluster.put(INFERENCE_TASKS, made)
    with served(state) as address, visiting(browser, address, size) as visit:
        visit.open("tasks")
        picture(visit, "long-tasks", 2, size, "light")
        wider = "(element) => element.scrollWidth - element.clientWidth"
        assert visit.page.locator("main .scroll").evaluate(wider) <= 0
        visit.open(f"task/{'n' * 63}/{'x' * 253}")
        picture(visit, "long-task", 2, size, "light")
        assert overflow(visit) <= 0


def test_a_list_that_became_shorter_shows_its_last_page(browser: Browser) -> None:
    state = page_state(2, 1, finished=30)
    (tasks,) = (reflector for reflector in state.reflectors if reflector.kind is INFERENCE_TASKS)
    with served(state) as address, visiting(browser, address) as visit:
        visit.open("tasks")
        visit.page.get_by_role("button", name="Next").click()
        expect(visit.page.get_by_text("26 to")).to_be_visible()

        for number in range(20):
            tasks.apply(DELETE, make_itask(f"night-{number:04d}"))

        expect(visit.page.get_by_role("link", name="night-0025")).to_be_visible()


def test_colours_follow_the_system_until_a_theme_is_chosen(browser: Browser, address: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with visiting(browser, address, theme="dark") as visit:
        visit.open("fleet")
        dark = visit.page.evaluate(background)
        visit.page.get_by_role("button", name="Use light colours").click()
        light = visit.page.evaluate(background)
        visit.page.reload()
        visit.page.locator("main .panel").first.wait_for()

        assert (dark, light) == ("rgb(17, 20, 23)", "rgb(247, 247, 245)")
        assert visit.page.evaluate(background) == light


def test_a_lost_connection_to_the_extender_is_shown(browser: Browser) -> None:
    with served(page_state(2, 1, finished=1)) as address, visiting(browser, address) as visit:
        visit.open("fleet")
        expect(visit.page.get_by_role("status")).to_have_text("live")
        visit.page.context.set_offline(True)

        expect(visit.page.get_by_role("status")).to_contain_text("no response for", timeout=20_000)
