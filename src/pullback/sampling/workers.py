"""Who computes blocks: this thread, a pool of threads, any concurrent.futures executor, or a Dask cluster.

Read `crew_of`, then `remote`. Other processes get the pickled problem once and rebuild its kernel; what they
send back are block sums, so they may be anywhere. Imports of dask and cloudpickle are the user's.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from pullback.errors import message
from pullback.families.parallel import cores

# imported for its kernel, which it adds to the ones that are tried; a worker process starts here
from pullback.sampling import native as _native  # noqa: F401 # pyright: ignore[reportUnusedImport]
from pullback.sampling.kernel import Kernel, choose_kernel
from pullback.sampling.problem import Problem
from pullback.sampling.sums import Sums

Answer = tuple[Any, Any, float]  # a Sums' two arrays, and the seconds they took


@dataclass
class Crew:
    """Takes tasks: submit(cells, first_block, count) gives a future of an `Answer`.

    size     how many tasks run at the same time
    seconds  how long a task should take, so that handing it over costs little
    """

    submit: Callable[[range, int, int], Future[Answer]]
    size: int
    seconds: float


def compute(kernel: Kernel, cells: range, first_block: int, count: int) -> Answer:
    """Some blocks, and the seconds they took."""
    start = time.perf_counter()
    sums = kernel.blocks(cells, first_block, count)
    return sums.table, sums.first, time.perf_counter() - start


def _now(work: Callable[..., Answer], *args: Any) -> Future[Answer]:
    """A future that is done: for a crew of one, which is the calling thread."""
    future: Future[Answer] = Future()
    future.set_result(work(*args))
    return future


@contextmanager
def crew_of(workers: Any, kernel: Kernel, problem: Problem) -> Generator[Crew]:
    """The crew that `workers` means, while it is open; pools that were passed in stay open.

    workers   None (a thread per core), a number of threads, an executor, or a Dask client
    """
    if workers is None or type(workers) is int:
        yield from _threads(cores() if workers is None else workers, kernel)
    elif isinstance(workers, ThreadPoolExecutor):
        yield Crew(lambda *task: workers.submit(compute, kernel, *task), workers._max_workers, 0.05)
    elif hasattr(workers, "get_executor") and hasattr(workers, "scatter"):
        payload, key = pack(problem)
        # scattered once, so that not every task carries the problem to its worker
        held = workers.scatter(payload, broadcast=True, hash=False)
        executor: Any = workers.get_executor(pure=False)
        size = max(1, sum(workers.ncores().values()))
        yield Crew(lambda *task: executor.submit(remote, held, key, kernel.name, *task), size, 0.5)
    elif isinstance(workers, Executor):
        payload, key = pack(problem)
        size = int(getattr(workers, "_max_workers", 4))
        yield Crew(lambda *task: workers.submit(remote, payload, key, kernel.name, *task), size, 0.2)
    else:
        raise TypeError(
            message(
                "workers must be None, an int, a concurrent.futures executor or a Dask client, got "
                f"{type(workers).__name__}",
                f"workers={workers!r}",
                "workers=4 for four threads, workers=ProcessPoolExecutor() for processes",
            )
        )


def _threads(n: int, kernel: Kernel) -> Generator[Crew]:
    if n < 1:
        raise ValueError(
            message("workers must be at least 1", f"workers={n}", "workers=None takes all cores")
        )
    if n == 1:
        yield Crew(lambda *task: _now(compute, kernel, *task), 1, 0.05)
        return
    pool = _pool(n, os.getpid())
    yield Crew(lambda *task: pool.submit(compute, kernel, *task), n, 0.05)


@cache
def _pool(n: int, process: int) -> ThreadPoolExecutor:
    """Threads, kept for the next study: starting them takes as long as a small one. Forks make their own."""
    del process
    return ThreadPoolExecutor(n, thread_name_prefix="pullback")


# ---------------------------------------------------------------------- other processes


def pack(problem: Problem) -> tuple[bytes, str]:
    """The pickled problem and its digest; TypeError where f cannot be pickled.

    cloudpickle is used where it is installed (Dask brings it): it also takes lambdas and local functions.
    """
    try:
        import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

        dumps: Callable[[Any], bytes] = cloudpickle.dumps
    except ImportError:
        dumps = pickle.dumps
    try:
        payload = dumps(problem)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            message(
                "the function or its inputs cannot be sent to another process",
                f"pickling says: {error}",
                "define the function at the top level of a module, install cloudpickle, or use threads "
                "(workers=4)",
            )
        ) from error
    return payload, hashlib.sha256(payload).hexdigest()


_LIMIT = 4  # kernels that a worker process keeps
_kernels: OrderedDict[str, Kernel] = OrderedDict()
_lock = threading.Lock()


def remote(payload: bytes, key: str, name: str, cells: range, first_block: int, count: int) -> Answer:
    """Some blocks, in another process: its kernel is made with the first task.

    RuntimeError where that is not the kernel `name`: sums of two kinds of kernels are not added up.
    """
    with _lock:
        kernel = _kernels.get(key)
        if kernel is None:
            problem: Problem = pickle.loads(payload)  # noqa: S301 - it comes from the process that started this one
            kernel, _ = choose_kernel(problem)
            _kernels[key] = kernel
            while len(_kernels) > _LIMIT:
                _kernels.popitem(last=False)
    if kernel.name != name:
        raise RuntimeError(
            message(
                "a worker would compute with another kernel than this process",
                f"kernel {kernel.name!r} there, {name!r} here",
                "use the same versions of pullback and llvmlite, and the same kind of machine, everywhere",
            )
        )
    return compute(kernel, cells, first_block, count)


def as_sums(answer: Answer) -> Sums:
    """The sums of an answer."""
    return Sums(answer[0], answer[1])
