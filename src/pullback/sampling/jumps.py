"""`Jump`: one place where f jumps as a function of a random input, so that the pathwise average misses it.

A record only; `jump_search` fills it. Imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Jump:
    """An op whose output jumps where its input crosses a threshold that random samples do cross.

    op, line           the op and `file.py:12` of the user's line that called it
    argument           the differentiated argument along which f was moved
    hits               share of samples within `width` of the threshold
    width              half-width of the neighbourhood and of the finite difference
    difference         central finite difference of E[v . f] over +- width, with its standard error
    difference_stderr
    pathwise           the pathwise mean beside it
    message            the sentence that the result shows
    """

    op: str
    line: str
    hits: float
    width: float
    difference: float
    difference_stderr: float
    pathwise: float
    argument: str
    message: str

    def __str__(self) -> str:
        return self.message
