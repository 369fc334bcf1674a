"""Errors of other libraries, in one line of ours."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type where it has none.

    >>> first_line(ValueError("too large\\nsee the manual")), first_line(EOFError())
    ('too large', 'EOFError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
