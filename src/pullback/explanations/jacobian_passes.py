"""Running a Jacobian's passes over one record: reverse and forward, one by one or many at a time, timed.

Read `Passes`. May import `graph`, `autograd`, `func`, `transform`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.autograd.public import captured_cotangents, grad
from pullback.func.mapping import vmap
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.transform.forward import push, reachable
from pullback.transform.pattern import output_shapes


class Passes:
    """The passes over the record of `out` as a function of `x`: an output and a leaf (or followed tensor)."""

    def __init__(self, out: Tensor, x: Tensor) -> None:
        self.out, self.x = out, x
        self.m, self.n = out.value.size, x.value.size
        self.nodes = reachable([out])
        self.key = _key(edge_of(x))

    def run(self, mode: str, vectors: Any, chunk: int, together: bool) -> Any:
        """v^T J for each row v of `vectors` (mode "reverse"), or J t for each row t (mode "forward").

        vectors   (k, m) or (k, n) array
        chunk     how many are worked on at once, if together
        Returns (k, n) or (k, m).
        """
        width = self.n if mode == "reverse" else self.m
        result = np.zeros((len(vectors), width), self.x.value.dtype)
        step = chunk if together else 1
        for start in range(0, len(vectors), step):
            part = vectors[start : start + step]
            result[start : start + step] = self._many(mode, part) if together else self._one(mode, part[0])
        return result

    def _one(self, mode: str, vector: Any) -> Any:
        return self._reverse(vector) if mode == "reverse" else self._forward(vector)

    def _reverse(self, v: Any) -> Any:
        g = np.asarray(v, self.out.value.dtype).reshape(self.out.value.shape)
        found = captured_cotangents([(edge_of(self.out), g)], [self.x], keep=True)[0]
        return np.zeros(self.n) if found is None else np.asarray(_value(found)).reshape(-1)

    def _forward(self, t: Any) -> Any:
        tangent = wrap(np.asarray(t, self.x.value.dtype).reshape(self.x.value.shape))
        found = push([self.out], {self.key: tangent})[0]
        return np.zeros(self.m) if found is None else np.asarray(found.value).reshape(-1)

    def _many(self, mode: str, vectors: Any) -> Any:
        like = self.out if mode == "reverse" else self.x
        batch = wrap(np.ascontiguousarray(vectors, like.value.dtype).reshape(len(vectors), *like.value.shape))
        found = vmap(self._pulled if mode == "reverse" else self._pushed)(batch)
        return np.asarray(found.value).reshape(len(vectors), -1)

    def _pulled(self, v: Tensor) -> Any:
        return grad([self.out], [self.x], [v], retain_graph=True, materialize_grads=True)[0]

    def _pushed(self, t: Tensor) -> Any:
        found = push([self.out], {self.key: t})[0]
        return (
            t.sum() * 0 + wrap(np.zeros(self.out.value.shape, self.out.value.dtype))
            if found is None
            else found
        )

    # ------------------------------------------------------------------ what a pass costs

    def lane_bytes(self, mode: str) -> int:
        """The bytes that one more vector needs while a pass runs: what is alive at once."""
        shapes = output_shapes([self.out])
        sizes = {key: a.size * a.dtype.itemsize for key, a in shapes.items()}
        if mode == "forward":
            return sum(sizes.values())
        alive = {_key(edge_of(self.out)): sizes[_key(edge_of(self.out))]}
        most = sum(alive.values())
        for node in reversed(self.nodes):
            keys = [node] if node.count is None else [(node, k) for k in range(node.count)]
            for e in node.edges:
                if e is not None:
                    alive[_key(e)] = sizes[_key(e)]
            most = max(most, sum(alive.values()))
            for key in keys:
                alive.pop(key, None)
        return most

    def timed(self, mode: str, together: int, budget: float) -> float:
        """Seconds of one pass: the median of a few within the budget, after one that is not counted.

        together  how many vectors a pass takes; 1: none is batched
        """
        width = self.m if mode == "reverse" else self.n
        vectors = np.zeros((together, width))
        vectors[np.arange(together), np.arange(together) % width] = 1
        call: Callable[[], Any] = lambda: self.run(mode, vectors, together, together > 1)  # noqa: E731
        call()
        times: list[float] = []
        stop = time.perf_counter() + budget
        while not times or (len(times) < 7 and time.perf_counter() < stop):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return float(np.median(times))


def _key(edge: Any) -> Any:
    return (edge.node, edge.index) if type(edge) is Slot else edge


def _value(v: Any) -> Any:
    return v.value if isinstance(v, Tensor) else v


def looped(nodes: list[Node]) -> str:
    """Why the pattern of this record cannot be had, or ""."""
    for node in nodes:
        if node.lanes:
            return f"{node.name} was recorded for one lane of vmap, which stands for all of them"
        if node.op.family == "control":
            return f"{node.name} belongs to vmap, a loop or a branch, whose pattern is not composed"
    return ""


__all__ = ["Passes", "looped"]
