"""`Tensor`: a value and, where it needs one, the node that made it.

Only the data and the rules of `.grad`, leaves and versions are here; operators and methods are attached by
`pullback.methods` from the op table, so that this module stays below the ops. Read `Tensor` first, then
`Parameter` and `wrap`. A tensor's value is a NumPy array or, for 0-d results that nobody shares, a NumPy
scalar (NumPy's arithmetic on scalars is five times faster); whoever shares or writes memory calls `storage()`
first, which makes it an array.
"""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.graph.history import non_leaf
from pullback.graph.modes import state
from pullback.graph.node import LEAF, Counter, Slot

NON_LEAF_GRAD = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't "
    "be populated "
    "during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, "
    "use "
    ".retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you "
    "access the leaf "
    "Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more information."
)


class Tensor:
    """An n-dimensional array that autograd can follow.

    Made by `pullback.methods`, the factories and every op. `value` is the NumPy array, `node` says where it
    came from:
    None (nothing to follow), `LEAF` (a leaf that requires grad), a `Node` or a `Slot` of one.
    """

    # defaults on the class: a new tensor sets `value` and, where recorded, `node`
    node: Any = None
    stored_grad: Tensor | None = None
    counter: Counter | None = None
    base: Tensor | None = None  # the tensor whose memory this is a view of
    origin: Any = None  # the shadow node of a value that was cut off the record (recorded lines only)
    retains: bool = False
    hooks: list[Any] | None = None  # hooks of a leaf
    accumulate_hooks: list[Any] | None = None
    accumulator: Any = None  # weak reference to the leaf's AccumulateGrad handle
    from_inference: bool = False
    foreign: Any = None  # on tensors of a running vmap: the function that runs an op on them
    # a view of a followed tensor taken under no_grad: it says requires_grad, but no cotangent arrives at it
    cut: bool = False
    view_kind: str | None = (
        None  # "multi:Unbind", "no_grad", "custom": what forbids writing through this view
    )
    if TYPE_CHECKING:
        value: Any

        # operators and methods come from the op table (pullback.methods attaches them)
        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Any: ...
        def __radd__(self, other: Any) -> Any: ...
        def __sub__(self, other: Any) -> Any: ...
        def __rsub__(self, other: Any) -> Any: ...
        def __mul__(self, other: Any) -> Any: ...
        def __rmul__(self, other: Any) -> Any: ...
        def __truediv__(self, other: Any) -> Any: ...
        def __rtruediv__(self, other: Any) -> Any: ...
        def __matmul__(self, other: Any) -> Any: ...
        def __pow__(self, other: Any) -> Any: ...
        def __neg__(self) -> Any: ...
        def __abs__(self) -> Any: ...
        def __getitem__(self, index: Any) -> Any: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __lt__(self, other: Any) -> Any: ...
        def __le__(self, other: Any) -> Any: ...
        def __gt__(self, other: Any) -> Any: ...
        def __ge__(self, other: Any) -> Any: ...

    # ------------------------------------------------------------------ memory

    def storage(self) -> Any:
        """The value as an array whose memory may be shared or written (a NumPy scalar becomes a 0-d
        array).
        """
        v = self.value
        if not isinstance(v, np.ndarray):
            v = self.value = np.array(v)
        return v

    def shared_counter(self) -> Counter:
        """The version counter, made on first need and made known to the node whose output this is."""
        counter = self.counter
        if counter is None:
            counter = self.counter = Counter()
            counter.base = weakref.ref(self)
            self.note_output()
        return counter

    def note_output(self) -> None:
        """Tell the node that made this tensor which counter and version its output has."""
        counter, node, index = self.counter, self.node, 0
        if counter is None or node is None or node is LEAF:
            return
        if type(node) is Slot:
            node, index = node.node, node.index
        if node.out_versions is None:
            node.out_versions = {}
        node.out_versions[index] = (counter, counter.version)

    @property
    def _version(self) -> int:
        """How often the memory was written in place (shared with views and `detach()`)."""
        if self.from_inference:
            raise RuntimeError(
                message(
                    "Inference tensors do not track version counter.", "", "clone() it outside inference_mode"
                )
            )
        return 0 if self.counter is None else self.counter.version

    @property
    def _base(self) -> Tensor | None:
        """The tensor this is a view of, or None."""
        return self.base

    # ------------------------------------------------------------------ autograd's view

    @property
    def requires_grad(self) -> bool:
        """Is autograd following this tensor?"""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self._set_requires_grad(
            flag, "only Tensors of floating point and complex dtype can require gradients"
        )

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switch following on or off for a leaf, in place; returns the tensor itself.

        RuntimeError for dtypes without gradients and for switching a non-leaf off.
        """
        if state.transforms and requires_grad:
            raise RuntimeError(
                message(
                    "You are attempting to call Tensor.requires_grad_() (or perhaps using "
                    "torch.autograd.functional.* "
                    "APIs) inside of a function being transformed by a functorch transform. "
                    "This is unsupported, please attempt to use the functorch transforms (e.g. grad, vjp, "
                    "jacrev, jacfwd, "
                    "hessian) or call requires_grad_() outside of a function being transformed instead."
                )
            )
        if requires_grad or self.node is LEAF or self.node is None:
            self._set_requires_grad(
                requires_grad, "only Tensors of floating point dtype can require gradients"
            )
        else:
            self._refuse_non_leaf(requires_grad)
        return self

    def _set_requires_grad(self, flag: bool, dtype_text: str) -> None:
        if self.node is not None and self.node is not LEAF:
            if flag:
                raise RuntimeError("you can only change requires_grad flags of leaf variables.")
            self._refuse_non_leaf(flag)
        if not flag:
            if state.lines and self.node is not None:
                self.origin = self._switched_off()
            self.node = None
            return
        if self.value.dtype.kind not in "fc":
            raise RuntimeError(
                message(
                    dtype_text,
                    f"the tensor's dtype is {self.dtype!r}",
                    "convert it first: x.float() or x.double()",
                )
            )
        if self.from_inference and not state.inference:
            raise RuntimeError(
                message(
                    "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.",
                    "",
                    "use clone() to get a normal tensor first",
                )
            )
        if self.node is None:
            self.node = LEAF
            if self.origin is not None:
                self.origin = None  # a leaf is where every path starts

    def _refuse_non_leaf(self, flag: bool) -> None:
        if flag:
            return
        raise RuntimeError(
            message(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed "
                "variable in a "
                "subgraph that doesn't require differentiation use var_no_grad = var.detach().",
                f"this tensor was made by {self.grad_fn.name()}",
                "use x.detach() for a tensor that autograd does not follow",
            )
        )

    @property
    def is_leaf(self) -> bool:
        """True for tensors that no recorded op made."""
        return self.node is None or self.node is LEAF

    @property
    def retains_grad(self) -> bool:
        """True for a non-leaf whose `.grad` backward will fill."""
        return self.retains and not self.is_leaf

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, or None before the first backward.

        UserWarning when a non-leaf is read that does not retain its gradient.
        """
        g = self.stored_grad
        if g is None and self.node is not None and self.node is not LEAF and not self.retains:
            warnings.warn(NON_LEAF_GRAD + non_leaf(self), UserWarning, stacklevel=2)
        return g

    @grad.setter
    def grad(self, g: Any) -> None:
        if g is not None:
            self._check_grad(g)
        self.stored_grad = g

    @grad.deleter
    def grad(self) -> None:
        self.stored_grad = None

    def _check_grad(self, g: Any) -> None:
        if not isinstance(g, Tensor):
            raise TypeError(
                message(
                    f"assigned grad expected to be a Tensor or None but got grad of type {type(g).__name__}",
                    "",
                    "wrap it: x.grad = torch.tensor(...)",
                )
            )
        if g is self:
            raise RuntimeError("can't assign Variable as its own grad")
        if g.value.shape != self.value.shape:
            mine, theirs = list(self.value.shape), list(g.value.shape)
            raise RuntimeError(
                message(
                    f"attempting to assign a gradient of size '{theirs}' to a tensor of size '{mine}'. "
                    f"Please ensure that "
                    "the gradient and the tensor are the same size"
                )
            )
        if g.value.dtype != self.value.dtype:
            word, mine = g.dtype.word.lower(), self.dtype.word
            raise RuntimeError(
                message(
                    f"attempting to assign a gradient with dtype '{word}' to a tensor with grad_dtype "
                    f"'{mine}'. The "
                    "gradient must match the tensor's grad_dtype (defaults to the tensor's dtype).",
                    "",
                    f"convert it first: x.grad = g.to({self.dtype!r})",
                )
            )

    def retain_grad(self) -> None:
        """Ask backward to fill `.grad` of this non-leaf too (no effect on leaves).

        RuntimeError for a tensor that autograd does not follow.
        """
        node = self.node
        if node is None:
            raise RuntimeError(
                message(
                    "can't retain_grad on Tensor that has requires_grad=False",
                    "autograd does not follow this tensor, so no gradient will ever reach it",
                    "set requires_grad=True on the leaf it is computed from, before computing it",
                )
            )
        if node is LEAF or self.retains:
            return
        self.retains = True
        node, index = (node.node, node.index) if type(node) is Slot else (node, 0)
        if node.retained is None:
            node.retained = {}
        node.retained[index] = weakref.ref(self)
        node.special = True

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the entries, such as torch.float32."""
        return dtypes.from_numpy_dtype(self.value.dtype)

    @property
    def shape(self) -> dtypes.Size:
        """The sizes of the dimensions."""
        return dtypes.Size(self.value.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.value.ndim

    @property
    def device(self) -> dtypes.device:
        """Where the tensor lives: always the CPU."""
        return dtypes.CPU


class InferenceTensor(Tensor):
    """A tensor made in inference mode: autograd never saves it.

    (A class of its own keeps the hot path free of the test.)
    """

    from_inference = True


class Parameter(Tensor):
    """A leaf that a module's `parameters()` lists; shares memory with `data`.

    It stands here, not in `nn`, because the fast paths of the ops take exactly `Tensor` and `Parameter`.

    RuntimeError for an integer tensor with requires_grad=True.

    >>> import pullback as torch
    >>> torch.nn.Parameter(torch.tensor([1.0]))
    Parameter containing:
    tensor([1.], requires_grad=True)
    """

    __module__ = "pullback.nn.parameter"  # its public home, which pickles name

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Self:
        """A leaf around data's memory (an empty vector without data)."""
        t = object.__new__(cls)
        if data is None:
            t.value = np.empty(0, dtypes.get_default_dtype().numpy)
        else:
            t.value = data.storage()
            if isinstance(data, Tensor) and data.counter is not None:
                t.counter = data.counter
        if requires_grad:
            if t.value.dtype.kind not in "fc":
                raise RuntimeError(
                    message(
                        "Only Tensors of floating point and complex dtype can require gradients",
                        f"the data has dtype {t.dtype!r}",
                        "pass requires_grad=False, or floating data",
                    )
                )
            t.node = LEAF
        return t

    def __repr__(self) -> str:
        return "Parameter containing:\n" + Tensor.__repr__(self)

    __str__ = __repr__

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return Parameter, (wrap(self.storage()), self.node is LEAF)


_new = object.__new__


def wrap(value: Any, node: Any = None) -> Tensor:
    """A tensor around a value, without checks; the one constructor the engine uses."""
    t = _new(Tensor)
    t.value = value
    if node is not None:
        t.node = node
    return t


def edge_of(t: Tensor) -> Any:
    """Where a cotangent of this tensor goes: its node, its slot, itself for a leaf, or None."""
    node = t.node
    return t if node is LEAF else node
