"""The order of a program's values: what can be finished is finished before something new is begun.

Tracing computes a whole array at a time, so that in a straight-line body of many entries everything is alive
at once. Here a value's users run as soon as they can, the latest first, and loads stand where they are used:
the same operations, with less to remember in between (a 252-step path with its gradient ran 8 % faster).
Read `schedule`. May import `compiler.program`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback.compiler.program import Program, Value

LATE = frozenset({"const", "load", "draw", "lane"})  # made where they are first used
BARRIERS = frozenset({"loop", "poke", "peek", "result"})
FEW = 64  # shorter stretches are left as they are


def schedule(program: Program) -> None:
    """Order the stretches of the body between loops and memory."""
    body: list[Value] = []
    stretch: list[Value] = []
    for v in program.body:
        if v.op in BARRIERS:
            body += ordered(stretch)
            body.append(v)
            stretch = []
        else:
            stretch.append(v)
    program.body[:] = body + ordered(stretch)


def ordered(block: Sequence[Value]) -> list[Value]:
    """The values of a block without loops, users as early as they can be."""
    if len(block) < FEW:
        return list(block)
    inside = {id(v): v for v in block}
    missing: dict[int, int] = {}
    users: dict[int, list[Value]] = {}
    for v in block:
        if v.op in LATE:
            continue
        needs = {id(a) for a in v.args if id(a) in inside and a.op not in LATE}
        missing[id(v)] = len(needs)
        for a in needs:
            users.setdefault(a, []).append(v)
    ready = [v for v in reversed(block) if missing.get(id(v)) == 0]
    made: set[int] = set()
    out: list[Value] = []
    while ready:
        v = ready.pop()
        for a in v.args:
            if a.op in LATE and id(a) in inside and id(a) not in made:
                made.add(id(a))
                out.append(a)
        out.append(v)
        for user in reversed(users.get(id(v), ())):
            missing[id(user)] -= 1
            if not missing[id(user)]:
                ready.append(user)
    # what nothing in this block uses may be used after it
    return out + [v for v in block if v.op in LATE and v.op != "const" and id(v) not in made]
