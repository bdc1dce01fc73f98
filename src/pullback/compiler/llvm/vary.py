"""Which values of a lane program can differ between lanes.

Holds `varying`. What is the same in all lanes is kept as a scalar: indices of scratch memory, offsets,
parameters. May import `compiler.program`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback.compiler.program import Loop, Program, Value


def varying(program: Program) -> set[int]:
    """The ids of all values that can differ between lanes."""
    found: set[int] = set()
    before = -1
    while len(found) != before:  # carried values can only become known as varying, so this ends
        before = len(found)
        _mark(program.body, program, found)
    return found


def _mark(body: Sequence[Value], program: Program, found: set[int]) -> None:
    for v in body:
        if v.op == "loop":
            _mark_loop(v.data, program, found)
        elif (
            v.op in {"draw", "lane", "peek"}
            or (v.op == "load" and program.arrays[v.data].lane_stride)
            or any(id(a) in found for a in v.args)
        ):
            found.add(id(v))


def _mark_loop(loop: Loop, program: Program, found: set[int]) -> None:
    _mark(loop.header, program, found)
    _mark(loop.body, program, found)
    uneven = loop.condition is not None and id(loop.condition) in found
    for carry, init, following, result in zip(
        loop.carries, loop.inits, loop.nexts, loop.results, strict=True
    ):
        if uneven or id(init) in found or id(following) in found or id(carry) in found:
            found |= {id(carry), id(result)}
