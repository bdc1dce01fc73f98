"""`Module`: a tree of parameters, buffers and submodules with a `forward`.

Read `Module` first: attributes that are parameters, buffers or modules are kept in three dictionaries,
everything else is a plain attribute. `held` checks what goes into the dictionaries, `hooks` holds what
runs around `forward`, `state` what saves and loads. May import `graph`, `nn.parameter`, `nn.held`,
`nn.hooks`, `nn.state`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from pullback import dtypes
from pullback.errors import message
from pullback.graph.tensor import Tensor
from pullback.nn import state as saved
from pullback.nn.held import assign_kept, check_name, clear_grad, forget, torch_type
from pullback.nn.hooks import Handle, Hooks, run_hooked
from pullback.nn.parameter import Buffer, Parameter, replace_memory


def _no_forward(self: Any, *_input: Any) -> Any:
    """What the module computes; subclasses define it."""
    raise NotImplementedError(
        message(
            f'Module [{type(self).__name__}] is missing the required "forward" function',
            "",
            "define forward(self, x)",
        )
    )


class Module:
    """The base of all layers: subclasses set parameters and submodules as attributes and define `forward`.

    >>> import pullback as torch
    >>> class Double(torch.nn.Module):
    ...     def forward(self, x):
    ...         return 2 * x
    >>> Double()(torch.tensor(1.5))
    tensor(3.)
    """

    training: bool = True
    forward: Callable[..., Any] = _no_forward
    call_super_init = False
    _hooks: Hooks | None = None  # made on first registration
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_modules"] = {}
        own["_non_persistent_buffers_set"] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run forward, with the hooks around it."""
        if self._hooks is None and not EVERY:
            return self.forward(*args, **kwargs)
        return run_hooked(self, EVERY, args, kwargs)

    # ------------------------------------------------------------------ attributes

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            found = own.get(kind)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        parameters = own.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError(
                    message(
                        "cannot assign parameters before Module.__init__() call", "", "super().__init__()"
                    )
                )
            forget(self, name, "_buffers", "_modules")
            self.register_parameter(name, value)
            return
        if isinstance(value, Module):
            if parameters is None:
                raise AttributeError(
                    message("cannot assign module before Module.__init__() call", "", "super().__init__()")
                )
            forget(self, name, "_parameters", "_buffers")
            own["_modules"][name] = value
            return
        if isinstance(value, Buffer):
            forget(self, name, "_parameters", "_modules")
            self.register_buffer(name, value, value.persistent)
            return
        if parameters is None or not assign_kept(own, name, value):
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__.get(kind, ()):
                del self.__dict__[kind][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*object.__dir__(self), *self._parameters, *self._buffers, *self._modules}
        return sorted(n for n in names if not n[0].isdigit())

    def register_parameter(self, name: str, param: Any) -> None:
        """Add a parameter (or None, a place kept free). KeyError or TypeError for bad names or values."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        check_name(self, name, self._parameters, "parameter")
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    message(
                        f"cannot assign '{torch_type(param)}' object to parameter '{name}' "
                        "(torch.nn.Parameter or None required)"
                    )
                )
            if not param.is_leaf:
                raise ValueError(
                    message(
                        f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                        "created explicitly. To "
                        f"express '{name}' as a function of another Tensor, compute the value in the "
                        "forward() method."
                    )
                )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state without being a parameter; not saved unless persistent."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        check_name(self, name, self._buffers, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                message(
                    f"cannot assign '{torch_type(tensor)}' object to buffer '{name}' (torch Tensor or None "
                    "required)"
                )
            )
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(
            name
        )

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule. TypeError or KeyError for bad names or values."""
        if module is not None and not isinstance(module, Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{torch_type(module)} is not a Module subclass")
        check_name(self, name, self._modules, "module")
        self._modules[name] = module

    register_module = add_module

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path. AttributeError if there is none."""
        found = self
        for part in target.split(".") if target else ():
            below = getattr(found, part, None)
            if not hasattr(found, part):
                raise AttributeError(f"{type(found).__name__} has no attribute `{part}`")
            if not isinstance(below, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
            found = below
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path. AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        found = getattr(owner, name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    # ------------------------------------------------------------------ the tree

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """(path, module) of this module and all below it, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Any]:
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """(name, module) of the direct submodules, each once."""
        seen: set[Any] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Any]:
        """The direct submodules, each once."""
        for _, child in self.named_children():
            yield child

    def _named(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[Any] = set()
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, owner in owners:
            for name, t in owner.__dict__[kind].items():
                if t is None or t in seen:
                    continue
                if remove_duplicate:
                    seen.add(t)
                yield f"{path}.{name}" if path else name, t

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) of this module and all below it, each once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and all below it, each once."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) of this module and all below it, each once."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and all below it, each once."""
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    # ------------------------------------------------------------------ modes and conversions

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """fn on every submodule and then on this one (to initialise, say); returns the module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch dropout and batch statistics on (or off) here and below."""
        if not isinstance(mode, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """`train(False)`."""
        return self.train(mode=False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let autograd follow the parameters, or not."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the parameters' `.grad` to None, or to zeros."""
        for p in self.parameters():
            clear_grad(p, set_to_none)

    def share_memory(self) -> Self:
        """The module itself: memory is shared with threads anyway."""
        return self

    def _apply(self, fn: Callable[[Any], Any]) -> Self:
        """Put fn(memory) in the place of every parameter's, gradient's and buffer's memory."""
        for t in (*self.parameters(), *self.buffers()):
            replace_memory(t, fn(t.storage()))
            if t.stored_grad is not None:
                replace_memory(t.stored_grad, fn(t.stored_grad.storage()))
        return self

    def _cast(self, dtype: dtypes.dtype) -> Self:
        def convert(a: Any) -> Any:
            return a.astype(dtype.numpy) if a.dtype.kind in "fc" and a.dtype != dtype.numpy else a

        return self._apply(convert)

    def float(self) -> Self:
        """All floating parameters and buffers in float32."""
        return self._cast(dtypes.float32)

    def double(self) -> Self:
        """All floating parameters and buffers in float64."""
        return self._cast(dtypes.float64)

    def half(self) -> Self:
        """All floating parameters and buffers in float16."""
        return self._cast(dtypes.float16)

    def type(self, dst_type: Any) -> Self:
        """All parameters and buffers in a dtype."""
        return self._cast(dst_type)

    def cpu(self) -> Self:
        """The module itself: everything is on the CPU."""
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert to a dtype (floating ones only), or 'move' to the CPU; the module itself."""
        dtype = kwargs.get("dtype")
        for a in (*args, kwargs.get("device")):
            if isinstance(a, dtypes.dtype):
                dtype = a
            elif isinstance(a, Tensor):
                dtype = a.dtype
            elif isinstance(a, str | dtypes.device):
                dtypes.on_cpu(a)
        if dtype is None:
            return self
        if dtype.category < 2:
            raise TypeError(
                message(
                    "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                    f"dtype={dtype!r}"
                )
            )
        return self._cast(dtype)

    # ------------------------------------------------------------------ hooks

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            object.__setattr__(self, "_hooks", Hooks())
        found = self._hooks
        assert found is not None
        return found

    def register_forward_pre_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """hook(module, args) before forward; may return other args."""
        return self._own_hooks().add("before", hook, prepend=prepend, with_kwargs=with_kwargs)

    def register_forward_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Handle:
        """hook(module, args, output) after forward; may return another output."""
        return self._own_hooks().add(
            "after", hook, prepend=prepend, with_kwargs=with_kwargs, always=always_call
        )

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> Handle:
        """hook(module, grad_input, grad_output) once grad_input is known; may return another one."""
        return self._own_hooks().add("backward", hook, prepend=prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook: Any, prepend: bool = False) -> Handle:
        """hook(module, grad_output) before the module's backward; may return another grad_output."""
        return self._own_hooks().add("backward_pre", hook, prepend=prepend)

    # ------------------------------------------------------------------ state

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers by path, detached (they share memory with the module)."""
        if args:
            given: Any = (*args, *(destination, prefix, keep_vars)[len(args) :])
            destination, prefix, keep_vars = given
        return saved.collect(self, OrderedDict() if destination is None else destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Copy values by path into the parameters and buffers; returns the keys that did not match.

        RuntimeError lists missing and unexpected keys (if strict) and shapes that differ.
        """
        return saved.load(self, state_dict, strict, assign)

    def get_extra_state(self) -> Any:
        """Extra state for `state_dict`; subclasses may define it."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    # ------------------------------------------------------------------ text

    def extra_repr(self) -> str:
        """What stands between the parentheses; subclasses define it."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [f"({name}): {indented(repr(child))}" for name, child in self._modules.items()]
        if not lines:
            return (
                f"{self._get_name()}({extra})"
                if "\n" not in extra
                else _block(self._get_name(), extra.split("\n"))
            )
        return _block(self._get_name(), [*(extra.split("\n") if extra else ()), *lines])


# hooks on every module (torch.nn.modules.module.register_module_forward_hook and the like)
EVERY: list[Hooks] = []


def _block(name: str, lines: list[str]) -> str:
    return name + "(\n  " + "\n  ".join(lines) + "\n)"


def indented(text: str) -> str:
    """All lines but the first moved to the right by two spaces."""
    return text.replace("\n", "\n  ")
