"""Modules that hold modules or parameters: Sequential, lists and dictionaries.

May import `nn.module`, `nn.parameter`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from pullback.graph.tensor import Tensor
from pullback.nn.module import Module, indented
from pullback.nn.parameter import Parameter


class _Numbered(Module):
    """Submodules under the names 0, 1, 2, ..."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def _key(self, index: Any) -> str:
        n, i = len(self), operator.index(index)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range")
        return list(self._modules)[i % n if n else 0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._of(list(self._modules.items())[index])
        return self._modules[self._key(index)]

    def _of(self, items: list[tuple[str, Any]]) -> Any:
        return type(self)(m for _, m in items)

    def __setitem__(self, index: Any, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: Any) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        left = [m for name, m in self._modules.items() if name not in keys]
        self._modules.clear()
        for i, m in enumerate(left):
            self._modules[str(i)] = m

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for m in modules:
            self.append(m)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Insert a module before `index`."""
        items = list(self._modules.values())
        items.insert(index, module)
        self._modules.clear()
        for i, m in enumerate(items):
            self._modules[str(i)] = m
        return self

    def pop(self, key: Any) -> Module:
        """Remove and return a module."""
        found = self[key]
        del self[key]
        return found


class Sequential(_Numbered):
    """Modules one after the other: each gets the output of the one before.

    >>> import pullback as torch
    >>> torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten())
    Sequential(
      (0): ReLU()
      (1): Flatten(start_dim=1, end_dim=-1)
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            items: Any = args[0].items()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        else:
            items = ((str(i), m) for i, m in enumerate(args))
        for name, module in items:
            self.add_module(name, module)

    def _of(self, items: list[tuple[str, Any]]) -> Any:
        return type(self)(dict(items))

    def forward(self, input: Any) -> Any:
        """The last module's output."""
        for module in self._modules.values():
            input = module(input)
        return input

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)


class ModuleList(_Numbered):
    """A list of modules whose parameters are found."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __repr__(self) -> str:
        texts = [repr(m) for m in self._modules.values()]
        if not texts:
            return f"{self._get_name()}()"
        lines: list[str] = []
        start = 0
        for i in range(1, len(texts) + 1):
            if i < len(texts) and texts[i] == texts[start]:
                continue
            one = i - start == 1
            label = f"({start}): " if one else f"({start}-{i - 1}): {i - start} x "
            lines.append("  " + label + indented(texts[start]))
            start = i
        return f"{self._get_name()}(\n" + "\n".join(lines) + "\n)"


class ModuleDict(Module):
    """A dictionary of modules whose parameters are found."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def update(self, modules: Any) -> None:
        """Add modules from a mapping or pairs."""
        for key, m in modules.items() if isinstance(modules, Mapping | ModuleDict) else modules:  # pyright: ignore[reportUnknownVariableType]
            self[key] = m

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def items(self) -> Any:
        """The pairs of name and module."""
        return self._modules.items()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def pop(self, key: str) -> Any:
        """Remove and return a module."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Remove all."""
        self._modules.clear()


class ParameterList(Module):
    """A list of parameters; plain tensors become parameters."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        self.extend(values or ())

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        n = self._size
        self._size = n + 1
        setattr(self, str(n), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        for v in values:
            self.append(v)
        return self

    def _key(self, index: Any) -> str:
        i = operator.index(index)
        if not -self._size <= i < self._size:
            raise IndexError(f"index {i} is out of range")
        return str(i % self._size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(self._size)[index]])
        return getattr(self, self._key(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        setattr(self, self._key(index), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def extra_repr(self) -> str:
        """One line per parameter."""
        return "\n".join(_describe(str(i), p) for i, p in enumerate(self))

    def __repr__(self) -> str:
        text = self.extra_repr()
        lines = "".join(f"\n    {line}" for line in text.split("\n") if text)
        return f"{self._get_name()}({lines}\n)" if text else f"{self._get_name()}()"


class ParameterDict(Module):
    """A dictionary of parameters; plain tensors become parameters."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        self.update(parameters or {})

    def update(self, parameters: Any) -> None:
        """Add parameters from a mapping or pairs."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def keys(self) -> Any:
        """The names."""
        return self._keys.keys()

    def values(self) -> Any:
        """The parameters."""
        return [self[k] for k in self._keys]

    def items(self) -> Any:
        """The pairs of name and parameter."""
        return [(k, self[k]) for k in self._keys]

    def extra_repr(self) -> str:
        """One line per parameter."""
        lines = [f"  ({k}): {_contents(p, f'torch.{p.dtype.word}Tensor')}" for k, p in self.items()]
        return "\n".join(lines)


def _as_parameter(value: Any) -> Any:
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _describe(name: str, p: Any) -> str:
    if not isinstance(p, Tensor):
        return f"({name}): Object of type: {type(p).__name__}"
    return f"({name}): {_contents(p, repr(p.dtype))}"


def _contents(p: Tensor, dtype: str) -> str:
    kind = "Parameter" if isinstance(p, Parameter) else "Tensor"
    return f"{kind} containing: [{dtype} of size {'x'.join(map(str, p.shape))}]"
