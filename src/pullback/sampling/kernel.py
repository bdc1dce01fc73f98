"""`Kernel`: what the engine asks of whatever computes block sums, and which kernel a problem gets.

Read `Kernel`, then `choose_kernel`. May import `batched` and the other kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pullback.sampling.batched import Batched
from pullback.sampling.problem import Problem
from pullback.sampling.sums import Sums


class Kernel(Protocol):
    """Computes sums over blocks of samples, for any thread at any time.

    name    what the result says about how it was computed
    groups  the cells, in order, as ranges that are computed together, for instance because they share samples
    span    the largest number of blocks that one call should get
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above
    @property
    def groups(self) -> Sequence[range]: ...  # noqa: D102
    @property
    def span(self) -> int: ...  # noqa: D102

    def prepare(self) -> None:
        """Compile, check; called once before `blocks`."""
        ...

    def blocks(self, cells: range, first_block: int, count: int) -> Sums:
        """The sums of `count` consecutive blocks for the cells of one group."""
        ...

    def centre(self, cell: int) -> tuple[Any, Any]:
        """(value, gradient (m,)) that the cell's sums are taken around."""
        ...

    def rows(self, cell: int, first_sample: int, count: int) -> tuple[Any, Any, Any]:
        """Values (n,), gradients (n, m) and wrt arguments (n, m) of consecutive samples, in float64."""
        ...


class Unsuited(Exception):  # noqa: N818 - it is no error: the next kernel is tried
    """A kernel cannot do this problem; the text says why, in words for the user."""


# tried in order: each makes a prepared kernel or raises Unsuited
MAKERS: list[Callable[[Problem], Kernel]] = []


def choose_kernel(problem: Problem) -> tuple[Kernel, str]:
    """A prepared kernel, and how the result describes the choice.

    The description is the kernel's name, followed by why the faster ones did not apply.
    """
    reasons: list[str] = []
    for make in MAKERS:
        try:
            kernel = make(problem)
        except Unsuited as reason:
            reasons.append(str(reason))
        except Exception as error:  # noqa: BLE001 - whatever stops a fast kernel, the batched one works or says why
            reasons.append(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        else:
            return kernel, kernel.name
    batched = Batched(problem)
    batched.prepare()
    return batched, " ".join([batched.name, *(f"({r})" for r in reasons)])
