"""Text from users, servers and files made safe for statuses, logs, metrics and terminals.

A name in an ONNX file may hold three million characters, and a server's error text the escape
sequences that rewrite a terminal's screen. Every text that this code did not write itself goes
through one of these functions where it leaves the process: in a status or an event, in a log line,
on a terminal.
"""

MAX_MESSAGE_CHARS = 1000
"""Maximum length of a message in a status or an event."""
ELLIPSIS = "..."


def printable_text(text: str, keep: str = "") -> str:
    r"""The text with every character that is not printable written as an escape, such as `\x1b`.

    Not printable are control characters (C0, DEL, C1), line and paragraph separators, characters
    that change the direction of text or are invisible, lone surrogates, and spaces other than " ".
    The characters in `keep` remain, such as line ends.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escape(character)
        for character in text
    )


def bounded_text(text: object, max_chars: int = MAX_MESSAGE_CHARS) -> str:
    """One printable line of at most `max_chars` characters; a longer one ends with "...".

    Line ends, tabs and repeated spaces become one space. The result of `bounded_text` is unchanged
    by another call with the same length.
    """
    full = str(text)
    # Cut before the other steps, which take time per character, but after the spaces that vanish.
    start = full if len(full) <= max_chars else full.lstrip()[: max_chars + 1]
    line = printable_text(" ".join(start.split()))
    if len(line) <= max_chars and len(start) == len(full):
        return line
    return line[: max_chars - len(ELLIPSIS)] + ELLIPSIS


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
