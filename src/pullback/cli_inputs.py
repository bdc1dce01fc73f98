"""The words of `pullback sensitivity` that say what the arguments of a function are.

Read `collect` first: one item for each argument, in order. May import: everything below the command line.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pullback.compat.program import BadInput
from pullback.ops.from_data import tensor
from pullback.sampling import distributions as laws
from pullback.sampling.inputs import each, given

# option -> the distribution it stands for
LAWS: dict[str, Any] = {
    "normal": laws.Normal,
    "uniform": laws.Uniform,
    "lognormal": laws.LogNormal,
    "exponential": laws.Exponential,
    "gamma": laws.Gamma,
    "beta": laws.Beta,
    "student-t": laws.StudentT,
    "bernoulli": laws.Bernoulli,
}


@dataclass(frozen=True)
class Inputs:
    """What `pullback.sensitivity` takes: the items in the order of the arguments, and their names."""

    items: tuple[Any, ...]
    names: tuple[str, ...]
    each_names: tuple[str, ...]


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options, one for each kind of argument; all can be repeated."""
    group = parser.add_argument_group(
        "arguments of the function",
        "each is named once. SHAPE is empty for a scalar, else like 6 or 2x3; VALUES is a .npy file or "
        "numbers with commas between them",
    )
    for option, law in LAWS.items():
        named = ",".join(name.upper() for name in _parameters(law))
        words = f"{law.__name__}: independent draws of that shape"
        form = f"NAME=SHAPE,{named}"
        group.add_argument(f"--{option}", metavar=form, action="append", default=[], help=words)
    more = {
        "given": "samples that exist already, along the first axis",
        "each": "the study is made for each of these values, along the first axis",
        "fixed": "always this value",
    }
    for option, words in more.items():
        group.add_argument(f"--{option}", metavar="NAME=VALUES", action="append", default=[], help=words)


def collect(function: Callable[..., Any], options: argparse.Namespace, dtype: Any) -> Inputs:
    """The items of `pullback.sensitivity` for the arguments of `function`.

    `dtype` is that of fixed values, None: as they are. Raises: BadInput, one line that says which word is
    wrong.
    """
    expected = _arguments(function)
    found: dict[str, Any] = {}
    each_names: list[str] = []
    for kind, name, text in _words(options):
        if name not in expected:
            raise BadInput(
                f"--{kind} {name}: {_called(function)} has no argument {name!r}; it has "
                f"{', '.join(expected) or 'none'}"
            )
        if name in found:
            raise BadInput(f"--{kind} {name}: the argument {name!r} is named twice")
        found[name] = _item(kind, f"--{kind} {name}={text}", text, dtype)
        if kind == "each":
            each_names.append(name)
    for name, default in expected.items():
        if name not in found and default is inspect.Parameter.empty:
            raise BadInput(
                f"nothing says what the argument {name!r} of {_called(function)} is; "
                f"for example --normal {name}=3"
            )
        found.setdefault(name, default)
    names = tuple(expected)
    each_in_order = tuple(name for name in names if name in each_names)
    return Inputs(tuple(found[name] for name in names), names, each_in_order)


def values(text: str, where: str) -> np.ndarray[Any, Any]:
    """The numbers of a .npy file, or of a text like `0,0,0.3,0.7`; BadInput if they cannot be read."""
    if text.endswith(".npy"):
        return _load(Path(text), where)
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(
            f"{where}: {text!r} is neither a .npy file nor numbers with commas between them"
        ) from None
    return np.array(numbers if "," in text else numbers[0])


def _load(path: Path, where: str) -> np.ndarray[Any, Any]:
    """A .npy file; objects are refused, since reading them would run code."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise BadInput(f"{where}: no such file: {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{where}: {path} is not a .npy file of numbers: {error}") from None
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise BadInput(f"{where}: {path} holds {array.dtype}, not numbers")
    return array


def _arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """The positional arguments of a function, with their defaults; BadInput for `*args`."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise BadInput(f"{_called(function)} does not tell the names of its arguments") from None
    found: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise BadInput(
                f"{_called(function)} takes *{parameter.name}; write a function that names its arguments"
            )
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            found[parameter.name] = parameter.default
    return found


def _called(function: Callable[..., Any]) -> str:
    """The name of a function, for messages."""
    return f"{getattr(function, '__name__', 'the function')}()"


def _words(options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """(kind, name, text behind the =) of everything that was said."""
    found: list[tuple[str, str, str]] = []
    for kind in (*LAWS, "given", "each", "fixed"):
        for word in vars(options)[kind.replace("-", "_")]:
            name, equals, text = word.partition("=")
            if not name or (not equals and kind not in LAWS):
                raise BadInput(f"--{kind} {word}: write NAME=..., NAME being an argument of the function")
            found.append((kind, name.strip(), text.strip()))
    return found


def _item(kind: str, where: str, text: str, dtype: Any) -> Any:
    """One item of `pullback.sensitivity`."""
    if kind in LAWS:
        return _distribution(LAWS[kind], where, text)
    array = values(text, where)
    if kind == "fixed":
        return tensor(array, dtype=dtype) if dtype and array.dtype.kind == "f" else tensor(array)
    try:
        return given(array) if kind == "given" else each(np.atleast_1d(array))
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{where}: {error}") from None


def _distribution(law: Any, where: str, text: str) -> Any:
    """The distribution that SHAPE,PARAMETER,... stands for."""
    shape, *parts = text.split(",")
    names = _parameters(law)
    try:
        size = tuple(int(part) for part in shape.split("x")) if shape.strip() else ()
        numbers = [float(part) for part in parts]
    except ValueError:
        raise BadInput(
            f"{where}: write NAME=SHAPE,{','.join(names)}, SHAPE like 6 or 2x3 or empty, then numbers"
        ) from None
    if min(size, default=1) < 1:
        raise BadInput(f"{where}: a shape has sizes of 1 and more")
    try:
        return law(*numbers).expand(size)
    except TypeError:
        raise BadInput(
            f"{where}: {law.__name__} takes {', '.join(names)}; {len(numbers)} numbers are given"
        ) from None
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"{where}: {error}") from None


def _parameters(law: Any) -> list[str]:
    """The names of a distribution's parameters."""
    return list(inspect.signature(law).parameters)
