"""Text from users, servers and files, made safe for statuses, logs and terminals."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.domain.foreign_text import bounded_text, printable_text

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("resnet50", "resnet50"),
        ("Größe 12 µs, 模型", "Größe 12 µs, 模型"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("a\x9b31mb\x7f", "a\\x9b31mb\\x7f"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("one\nlevel=error two", "one\\nlevel=error two"),
        ("\u2028\ud800", "\\u2028\\ud800"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable_text(text) == shown


def test_kept_characters_remain() -> None:
    assert printable_text("one\n\ttwo\x1b", keep="\n\t") == "one\n\ttwo\\x1b"


@given(ANY_TEXT)
def test_a_printable_text_has_no_control_or_format_characters(text: str) -> None:
    categories = {unicodedata.category(character) for character in printable_text(text)}

    assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(ANY_TEXT, st.integers(min_value=4, max_value=60))
def test_a_bounded_text_is_one_short_line(text: str, max_chars: int) -> None:
    line = bounded_text(text, max_chars)

    assert len(line) <= max_chars
    assert line.isprintable()
    assert bounded_text(line, max_chars) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fits", "fits"),
        ("exactly_10", "exactly_10"),
        ("eleven char", "eleven ..."),
        ("  a\n\tb  ", "a b"),
        ("\x1b\x1b\x1b\x1b", "\\x1b\\x1..."),
        ("x" + " " * 100 + "y", "x..."),
        ("", ""),
    ],
)
def test_a_text_is_cut_at_its_end(text: str, line: str) -> None:
    assert bounded_text(text, 10) == line


def test_a_message_is_cut_by_default() -> None:
    line = bounded_text("operator \x1b" * 300_000)

    assert len(line) == 1000
    assert line.endswith("...")
