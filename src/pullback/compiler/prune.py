"""Dead values of a lane program: what no store, sum or loop needs is taken out, draws included.

Read `prune`. May import `compiler.program`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pullback.compiler.program import Loop, Program, Value

EFFECTS = frozenset({"store", "poke", "sum", "count", "first"})


def prune(program: Program) -> int:
    """Remove what has no effect; how many values went."""
    live: set[int] = set()
    stack = [v for v in everything(program.body) if v.op in EFFECTS]
    stack += [v for v in everything(program.body) if v.op == "loop" and has_effect(v.data)]
    while stack:
        v = stack.pop()
        if id(v) in live:
            continue
        live.add(id(v))
        stack.extend(v.args)
        if v.op in {"result", "carry"}:
            loop, k = v.data
            stack.extend((loop.inits[k], loop.nexts[k], *_control(loop)))
            live.add(id(loop))
        elif v.op == "counter":
            live.add(id(v.data))
        elif v.op == "loop":
            stack.extend(_control(v.data))
            live.add(id(v.data))
    return _drop(program.body, live)


def everything(block: Sequence[Value]) -> Iterator[Value]:
    """All values of a block and of the loops in it."""
    for v in block:
        yield v
        if v.op == "loop":
            yield from everything(v.data.header)
            yield from everything(v.data.body)


def has_effect(loop: Loop) -> bool:
    """Does a loop store or add anything?"""
    return any(v.op in EFFECTS for v in (*everything(loop.header), *everything(loop.body)))


def _control(loop: Loop) -> tuple[Value, ...]:
    return () if loop.condition is None else (loop.condition,)


def _drop(block: list[Value], live: set[int]) -> int:
    """Keep the live values of a block; loops lose the carried values that nobody reads."""
    before = len(block)
    block[:] = [v for v in block if id(v) in live or (v.op == "loop" and id(v.data) in live)]
    gone = before - len(block)
    for v in block:
        if v.op == "loop":
            loop: Loop = v.data
            kept = [
                k for k, (c, r) in enumerate(zip(loop.carries, loop.results, strict=True))
                if id(c) in live or id(r) in live
            ]  # fmt: skip
            for name in ("inits", "carries", "nexts", "results"):
                setattr(loop, name, [getattr(loop, name)[k] for k in kept])
            gone += _drop(loop.header, live) + _drop(loop.body, live)
    return gone
