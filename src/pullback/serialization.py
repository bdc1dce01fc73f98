"""`save` and `load`: objects that hold tensors, in PyTorch's file format: either reads the other's files.

A file is a zip archive: `data.pkl` is a pickle in which a tensor is a call of
`torch._utils._rebuild_tensor_v2` on a storage (its dtype, its key, its size); `data/<key>` holds the
storage's bytes. Tensors that share memory share a storage, so views are views again after loading. Read
`save`, `_Writer` and `_Reader` in this order. May import: `graph`, `dtypes`, `nn`.
"""

from __future__ import annotations

import codecs
import importlib
import os
import pickle
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor
from pullback.nn.parameter import Buffer, Parameter

_Place = str | os.PathLike[str] | IO[bytes]


class _StorageType:
    """Stands for `torch.FloatStorage` and the like: memory of one dtype."""

    def __init__(self, dtype: dtypes.dtype, name: str) -> None:
        self.dtype, self.name = dtype, name


_STORAGES = {d.numpy: _StorageType(d, f"{d.word}Storage") for d in dtypes.ALL}


class _Storage:
    """A block of memory that tensors share; `kind` tells its dtype, `key` its place in the archive."""

    def __init__(self, kind: _StorageType, key: str, memory: Any) -> None:
        self.kind, self.key, self.memory = kind, key, memory


# ---------------------------------------------------------------------- what the pickle calls


def _rebuild_tensor(
    storage: _Storage,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool = False,
    _hooks: Any = None,
    _metadata: Any = None,
) -> Tensor:
    """A tensor that looks at a storage; RuntimeError where it would look outside it."""
    memory = storage.memory
    reach = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and not 0 <= reach < memory.size:
        raise RuntimeError(
            message(
                "setStorage: a tensor reaches outside its storage",
                f"size {list(size)}, strides {list(stride)}, offset {offset}; it has {memory.size} entries",
                "the file is damaged",
            )
        )
    t = object.__new__(Tensor)
    strides = tuple(s * memory.itemsize for s in stride)
    t.value = np.ndarray(
        size, memory.dtype, memory, offset * memory.itemsize if 0 not in size else 0, strides
    )
    if requires_grad:
        t.node = LEAF
    return t


def _rebuild_parameter(data: Tensor, requires_grad: bool, _hooks: Any = None) -> Parameter:
    """A module's parameter around a tensor's memory."""
    return Parameter(data, requires_grad)


# What PyTorch calls the things of its own that stand in a file.
_OURS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): dtypes.Size,
    ("torch", "device"): dtypes.device,
    **{("torch", kind.name): kind for kind in _STORAGES.values()},
    **{("torch", str(d).removeprefix("torch.")): d for d in dtypes.ALL},
}
_NAMES = {id(thing): name for name, thing in _OURS.items()}
# What else a file may name where `weights_only` is asked for: nothing that runs code of the file's choice.
_SAFE: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "Counter"): Counter,
    ("_codecs", "encode"): codecs.encode,  # how protocol 2 writes bytes
    **{
        (home, one.__name__): one for home in ("builtins", "__builtin__") for one in (set, complex, bytearray)
    },
}


# ---------------------------------------------------------------------- writing


class _Writer(pickle._Pickler):
    """Pickles an object; tensors become calls that name a storage, storages are kept aside.

    The C pickler checks that each name it writes can be imported; torch need not be installed here.
    """

    def __init__(self, file: IO[bytes], protocol: int) -> None:
        super().__init__(file, protocol)
        self.storages: dict[int, _Storage] = {}
        self._alive: list[Any] = []  # an id is that of one array only while the array lives

    def persistent_id(self, obj: Any) -> Any:
        """How a storage is named in the pickle; None for everything else."""
        if not isinstance(obj, _Storage):
            return None
        return "storage", obj.kind, obj.key, "cpu", obj.memory.size

    def reducer_override(self, obj: Any) -> Any:
        """How what PyTorch writes in its own way is taken apart."""
        if id(obj) in _NAMES:
            return _NAMES[id(obj)][1]
        if type(obj) is Parameter:
            hooks: OrderedDict[str, Any] = OrderedDict()
            return _rebuild_parameter, (self._plain(obj), obj.node is not None, hooks)
        if type(obj) in (Tensor, Buffer):
            return _rebuild_tensor, self._tensor(obj, obj.node is not None)
        if isinstance(obj, dtypes.Size):
            return dtypes.Size, (tuple(obj),)
        if isinstance(obj, dtypes.device):
            return dtypes.device, (str(obj),)
        return NotImplemented

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Write a name: PyTorch's for what is PyTorch's."""
        if id(obj) not in _NAMES:
            super().save_global(obj, name)  # pyright: ignore[reportAttributeAccessIssue]
            return
        home, name = _NAMES[id(obj)]
        pickler: Any = self
        pickler.write(pickle.GLOBAL + f"{home}\n{name}\n".encode())
        pickler.memoize(obj)

    def _plain(self, parameter: Tensor) -> Tensor:
        t = object.__new__(Tensor)
        t.value = parameter.storage()
        return t

    def _tensor(self, t: Tensor, requires_grad: bool) -> tuple[Any, ...]:
        array, root = _in_block(t.storage())
        if id(root) not in self.storages:
            kind, key = _STORAGES[array.dtype], str(len(self.storages))
            self.storages[id(root)] = _Storage(kind, key, root.ravel(order="K"))
            self._alive.append(root)
        offset = _address(array) - _address(root) if array.size else 0
        strides = tuple(s // array.itemsize for s in array.strides)
        hooks: OrderedDict[str, Any] = OrderedDict()  # PyTorch's files have a place for them
        shape = tuple(array.shape)
        return self.storages[id(root)], offset // array.itemsize, shape, strides, requires_grad, hooks


def _in_block(array: Any) -> tuple[Any, Any]:
    """An array and the block of memory that it looks at; copies where that is no block of its dtype."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    odd = any(s < 0 or s % array.itemsize for s in array.strides)
    if odd or root.dtype != array.dtype or not root.flags.forc:
        root = array = np.ascontiguousarray(array).reshape(array.shape)
    return array, root


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]


def save(
    obj: Any,
    f: _Place,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write an object to a path or to a file opened for writing bytes, in PyTorch's format.

    Tensors may stand anywhere in the object; what they share they share again after `load`. A gradient and
    the graph behind a tensor are not written. AttributeError for an `f` that cannot be written to,
    RuntimeError for a folder that does not exist.

    >>> import io, pullback as torch
    >>> file = io.BytesIO()
    >>> torch.save({"weight": torch.tensor([1.0, 2.0]), "epoch": 3}, file)
    >>> torch.load(file)
    {'weight': tensor([1., 2.]), 'epoch': 3}
    """
    if pickle_module is not pickle or not _use_new_zipfile_serialization:
        raise NotImplementedError(
            message("torch.save writes zip archives with Python's own pickle", "another format was asked for")
        )
    content = BytesIO()
    writer = _Writer(content, pickle_protocol)
    writer.dump(obj)
    with _opened(f, "w") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", content.getvalue())
        archive.writestr("archive/byteorder", sys.byteorder)
        for storage in writer.storages.values():
            archive.writestr(f"archive/data/{storage.key}", storage.memory.tobytes())
        archive.writestr("archive/version", "3\n")


@contextmanager
def _opened(f: Any, mode: str) -> Generator[IO[bytes]]:
    """The file at a path, closed at the end; or the open file that was given."""
    if isinstance(f, str | os.PathLike):
        path = Path(f)
        if mode == "w" and not path.parent.is_dir():
            raise RuntimeError(
                message(
                    f"Parent directory {path.parent} does not exist.",
                    f"the path is {path}",
                    "make the folder first",
                )
            )
        with path.open(mode + "b") as file:
            yield file
        return
    if mode == "w" and not hasattr(f, "write"):
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with a 'write' attribute"
        )
    if mode == "r" and not hasattr(f, "seek"):
        raise AttributeError(
            f"'{type(f).__name__}' object has no attribute 'seek'. You can only torch.load from a file that "
            "is seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it "
            "instead."
        )
    yield f


# ---------------------------------------------------------------------- reading


class _Reader(pickle.Unpickler):
    """Unpickles an object whose storages are in an archive; `safe`: names nothing outside a short list."""

    def __init__(self, file: IO[bytes], read: Callable[[str], bytes], order: str, *, safe: bool) -> None:
        super().__init__(file)
        self._read, self._order, self._safe = read, order, safe
        self._storages: dict[str, _Storage] = {}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The thing that a name in the file stands for."""
        name = module_name, global_name
        if name in _OURS:
            return _OURS[name]
        if name in _SAFE:
            return _SAFE[name]
        if self._safe:
            raise pickle.UnpicklingError(
                message(
                    "Weights only load failed.",
                    f"the file names {module_name}.{global_name}, which could run any code",
                    "pass weights_only=False if you trust the source of the file",
                )
            )
        if module_name.partition(".")[0] == "torch":
            return _class_of_torch(module_name, global_name)
        return super().find_class(module_name, global_name)

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that an entry of the pickle names."""
        _, kind, key, _, numel = pid
        if key not in self._storages:
            d = kind.dtype.numpy
            written = np.frombuffer(bytearray(self._read(key)), d.newbyteorder(self._order), numel)
            memory = written.astype(d, copy=False)
            self._storages[key] = _Storage(kind, key, memory)
        return self._storages[key]


def _class_of_torch(module_name: str, global_name: str) -> Any:
    """A class that PyTorch keeps at `module_name`, from the room here that has one of that name."""
    for room in ("nn", "optim", "utils.data"):
        if module_name.startswith(f"torch.{room}"):
            found = getattr(importlib.import_module(f"pullback.{room}"), global_name, None)
            if found is not None:
                return found
    raise pickle.UnpicklingError(
        message(
            f"Can't get attribute '{global_name}' on module '{module_name}'",
            "the file needs something of PyTorch that pullback does not have",
            "save the state_dict() there instead of the object",
        )
    )


def load(
    f: _Place,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
) -> Any:
    """Read what `save`, here or in PyTorch, wrote to a path or to an open file that can seek.

    With `weights_only` (as unless False) the file may hold tensors, parameters, numbers, text and containers;
    anything else is an UnpicklingError, because unpickling it could run code of the file's choice. Memory is
    always the CPU's: other places in `map_location` are an error; `mmap` changes nothing that can be seen.
    """
    del mmap
    if pickle_module not in (None, pickle):
        raise NotImplementedError(
            message("torch.load reads with Python's own pickle", "another was asked for")
        )
    if isinstance(map_location, str | dtypes.device):
        dtypes.on_cpu(map_location)
    with _opened(f, "r") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            if not file.read(1):
                raise EOFError("Ran out of input")
            raise pickle.UnpicklingError(
                message(
                    "Weights only load failed.",
                    "this is no zip archive: not a file of torch.save, or one of a PyTorch before 1.6",
                    "save it anew with a later PyTorch",
                )
            )
        with zipfile.ZipFile(file) as archive:
            return _read(archive, safe=weights_only is not False)


def _read(archive: zipfile.ZipFile, *, safe: bool) -> Any:
    """The object in an archive, whose files are all in one folder."""
    names = archive.namelist()
    home = next(name for name in names if name.endswith("data.pkl")).removesuffix("data.pkl")
    little = f"{home}byteorder" not in names or archive.read(f"{home}byteorder") == b"little"
    content = BytesIO(archive.read(f"{home}data.pkl"))
    reader = _Reader(
        content, lambda key: archive.read(f"{home}data/{key}"), "<" if little else ">", safe=safe
    )
    return reader.load()
