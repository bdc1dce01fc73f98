"""Loops of a lane program: counted ones, and while loops that run until every lane has ended.

Holds `write_loop`, which `values.Lanes.emit` calls for each loop. Read `write_loop`, then `_while`. May
import, of the package, `compiler.program`, `text` and `values`.
"""

from __future__ import annotations

from pullback.compiler.llvm.values import Lanes
from pullback.compiler.program import Loop, Value
from pullback.compiler.text import Code, V, type_name


class _Phi:
    """A value that comes from two blocks; the second one is filled in when it is known."""

    def __init__(self, code: Code, first: V, came_from: str) -> None:
        self.value = code.add("", first.t, first.n)
        self._line = len(code.lines) - 1
        self._code = code
        self._first = first.ref
        self.origin = came_from

    def close(self, last: V, came_from: str) -> None:
        v = self.value
        assert last.type == v.type, f"a loop carries {v.type} and {last.type} in one place"
        name = type_name(v.t, v.n)
        self._code.lines[self._line] = (
            f"  {v.ref} = phi {name} [ {self._first}, %{self.origin} ], [ {last.ref}, %{came_from} ]"
        )


def write_loop(lanes: Lanes, statement: Value) -> None:
    """Write the loop of a "loop" statement; its results can be read afterwards."""
    loop: Loop = statement.data
    if loop.count == 0:
        for result, init in zip(loop.results, loop.inits, strict=True):
            lanes.env[id(result)] = _carried(lanes, result, lanes.get(init))
    elif loop.count is not None:
        _counted(lanes, loop, loop.count)
    else:
        _while(lanes, loop)


def _carried(lanes: Lanes, carry: Value, v: V) -> V:
    """v as wide as the carried value is."""
    return lanes.code.wide(v, lanes.n) if id(carry) in lanes.varying else v


def _enter(lanes: Lanes, loop: Loop) -> tuple[str, _Phi, list[_Phi]]:
    """Start the loop's first block: its name, counter and carried values."""
    code = lanes.code
    inits = [_carried(lanes, c, lanes.get(i)) for c, i in zip(loop.carries, loop.inits, strict=True)]
    before, head = code.block, code.name("round")
    code.jump(head)
    code.label(head)
    counter = _Phi(code, code.const(0, "i8"), before)
    phis = [_Phi(code, init, before) for init in inits]
    if loop.counter is not None:
        lanes.env[id(loop.counter)] = counter.value
    for carry, phi in zip(loop.carries, phis, strict=True):
        lanes.env[id(carry)] = phi.value
    return head, counter, phis


def _counted(lanes: Lanes, loop: Loop, count: int) -> None:
    code = lanes.code
    head, counter, phis = _enter(lanes, loop)
    lanes.emit(loop.body, write_loop)
    nexts = [_carried(lanes, c, lanes.get(x)) for c, x in zip(loop.carries, loop.nexts, strict=True)]
    following = counter.value + 1
    done = code.name("done")
    last = code.block
    code.branch(following.lt(count), head, done)
    counter.close(following, last)
    for phi, x in zip(phis, nexts, strict=True):
        phi.close(x, last)
    code.label(done)
    for result, x in zip(loop.results, nexts, strict=True):
        lanes.env[id(result)] = x


def _while(lanes: Lanes, loop: Loop) -> None:
    """Lanes that have ended keep their carried values by a select; the loop ends when none is left."""
    code, outer = lanes.code, lanes.active
    start = lanes.mask()
    going = code.wide(start, lanes.n) if start is not None else code.const(True, "b1", lanes.n)
    head, counter, phis = _enter(lanes, loop)
    still = _Phi(code, going, counter.origin)
    lanes.emit(loop.header, write_loop)
    condition = lanes.get(loop.condition)
    uniform = condition.n == 1 and start is None
    active = still.value & code.wide(condition, lanes.n)
    body, done = code.name("body"), code.name("done")
    code.branch(condition if uniform else code.any(active), body, done)
    code.label(body)
    lanes.active = None if uniform else active
    lanes.emit(loop.body, write_loop)
    nexts = [
        _carried(lanes, c, lanes.get(x)) if uniform else _frozen(lanes, active, lanes.get(x), phi.value)
        for c, x, phi in zip(loop.carries, loop.nexts, phis, strict=True)
    ]
    following = counter.value + 1
    last = code.block
    code.jump(head)
    counter.close(following, last)
    still.close(active, last)
    for phi, x in zip(phis, nexts, strict=True):
        phi.close(x, last)
    code.label(done)
    lanes.active = outer
    for result, phi in zip(loop.results, phis, strict=True):
        lanes.env[id(result)] = phi.value


def _frozen(lanes: Lanes, active: V, following: V, before: V) -> V:
    """The next value in active lanes, the one before in lanes that have ended."""
    if before.n == 1 and following.n == 1:
        # the same in all lanes: it only matters while some lane goes on
        return following
    return active.select(lanes.code.wide(following, lanes.n), lanes.code.wide(before, lanes.n))
