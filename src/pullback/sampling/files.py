"""Results as files and as plain data: dicts, data frames, .json and .npz.

Read `plain`, `write`, `read`. JSON is strict (infinities and nan are strings inside an array's record), and
floats keep every bit. Files are written beside their place and moved there, so a reader never sees half of
one. Nothing is unpickled. Imports NumPy and `errors`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pullback.errors import message

FORMAT = "pullback sensitivity 1"


# ---------------------------------------------------------------------- plain data


def plain(value: Any) -> Any:
    """Arrays as (nested) lists, NumPy scalars as Python's, dataclasses as dicts."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def records(result: Any) -> list[dict[str, Any]]:
    """One dict per cell and entry of a `Sensitivity`."""
    low, high = result.interval()
    columns = {
        "mean": result.mean,
        "stderr": result.stderr,
        "low": low,
        "high": high,
        "abs_mean": result.abs_mean,
        "second_moment": result.second_moment,
        "active": result.active,
    }
    flat = {name: result.flat(value) for name, value in columns.items()}
    out: list[dict[str, Any]] = []
    for cell in np.ndindex(*result.leading):
        coordinates = {f"each_{n}": plain(values[cell[n]]) for n, values in enumerate(result.each)}
        if result.stacked:
            coordinates["upstream"] = cell[-1]
        for i, label in enumerate(result.labels):
            numbers = {name: float(value[*cell, i]) for name, value in flat.items()}
            out.append({**coordinates, "entry": label, **numbers})
    return out


def to_dataframe(result: Any) -> Any:
    """`records` as a pandas DataFrame."""
    try:
        import pandas as pd
    except ImportError:
        raise ImportError(
            message(
                "to_dataframe needs pandas, which is not installed", "", "use records() for a list of dicts"
            )
        ) from None
    return pd.DataFrame(records(result))


# ---------------------------------------------------------------------- trees of arrays


def _encode(value: Any, array: Callable[[Any], Any]) -> Any:
    """A tree of dicts and lists; tuples are marked, arrays go through `array`."""
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        return {"array": array(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {"dict": {k: _encode(v, array) for k, v in pairs}}
    if isinstance(value, tuple):
        return {"tuple": [_encode(v, array) for v in value]}
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    return value


def _decode(value: Any, array: Callable[[Any], Any]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "array":
        return array(inside)
    if kind == "dict":
        return {k: _decode(v, array) for k, v in inside.items()}
    if kind == "tuple":
        return tuple(_decode(v, array) for v in inside)
    return float(inside)


def _array_to_json(a: Any) -> dict[str, Any]:
    flat = a.ravel().tolist()
    if a.dtype.kind == "f":
        flat = [x if np.isfinite(x) else str(x) for x in flat]
    return {"dtype": str(a.dtype), "shape": list(a.shape), "data": flat}


def _array_from_json(record: dict[str, Any]) -> Any:
    data = record["data"]
    if np.dtype(record["dtype"]).kind == "f":
        data = [float(x) for x in data]
    return np.array(data, record["dtype"]).reshape(record["shape"])


# ---------------------------------------------------------------------- files


def write(path: str | Path, state: dict[str, Any]) -> None:
    """Write the fields of a result; ValueError for a suffix other than .json and .npz."""
    path = _checked(path)
    if path.suffix == ".json":
        tree = {"format": FORMAT, **{k: _encode(v, _array_to_json) for k, v in state.items()}}
        content = json.dumps(tree, indent=1, allow_nan=False).encode()
    else:
        arrays: dict[str, Any] = {}

        def keep(a: Any) -> str:
            arrays[f"a{len(arrays)}"] = a
            return f"a{len(arrays) - 1}"

        tree = {"format": FORMAT, **{k: _encode(v, keep) for k, v in state.items()}}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, fields=np.array(json.dumps(tree)), **arrays)
        content = buffer.getvalue()
    write_whole(path, content)


def read(path: str | Path) -> dict[str, Any]:
    """The fields that `write` wrote; ValueError for a file that is something else or damaged."""
    path = _checked(path)
    content = path.read_bytes()
    try:
        if path.suffix == ".json":
            return _fields(json.loads(content), _array_from_json)
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return _fields(json.loads(str(archive["fields"])), lambda key: archive[key])
    except Exception as error:
        raise ValueError(
            message(
                f"{path} is not a saved result, or is damaged",
                f"{type(error).__name__}: {error}",
                "save the result again with Sensitivity.save",
            )
        ) from error


def _fields(tree: dict[str, Any], array: Callable[[Any], Any]) -> dict[str, Any]:
    if tree.pop("format", None) != FORMAT:
        raise ValueError(f"the format is not {FORMAT!r}")
    return {k: _decode(v, array) for k, v in tree.items()}


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in (".json", ".npz"):
        raise ValueError(
            message(
                "a result is saved as .json or .npz",
                f"the path is {path}",
                f"use {path.with_suffix('.json')} or {path.with_suffix('.npz')}",
            )
        )
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there in full or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
