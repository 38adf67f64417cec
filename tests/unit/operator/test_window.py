from acesniper.operator.store import Store
from acesniper.operator.window import Window
from builders import make_itask


def make_window(size: int, *names: str) -> Window:
    store = Store()
    for second, name in enumerate(names):
        created = f"1970-01-01T00:00:{second:02}Z"
        store.take_task(make_itask(name, metadata={"creationTimestamp": created}))
    return Window(store, size)


def inside(window: Window) -> set[str]:
    return {key.removeprefix("default/") for key in window.store.tasks if key in window}


def finish(window: Window, name: str) -> None:
    metadata = {"resourceVersion": "2"}
    window.store.take_task(make_itask(name, status={"phase": "Running"}, metadata=metadata))


def test_few_tasks_are_all_inside() -> None:
    window = make_window(3, "a", "b")

    assert inside(window) == {"a", "b"}


def test_of_many_tasks_the_first_are_inside() -> None:
    window = make_window(2, "a", "b", "c")

    assert window.refresh() == {"default/a", "default/b"}
    assert inside(window) == {"a", "b"}


def test_the_window_moves_on_when_a_task_is_placed() -> None:
    window = make_window(2, "a", "b", "c", "d")
    window.refresh()

    finish(window, "a")

    assert window.refresh() == {"default/c"}
    assert window.refresh() == set()


def test_a_task_that_comes_inside_because_others_are_deleted_is_told() -> None:
    window = make_window(2, "a", "b", "c")
    window.refresh()

    del window.store.tasks["default/a"]

    assert window.refresh() == {"default/c"}


def test_suspended_tasks_take_no_place() -> None:
    window = make_window(1, "b")
    window.store.take_task(make_itask("a", suspend=True))

    assert window.refresh() == {"default/b"}
