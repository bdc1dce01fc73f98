"""One expression, run with both libraries: everything that a user can see is compared.

`outcome(lib, text, dtype)` evaluates an expression over fresh variables and returns what came out: values,
dtypes, shapes, requires_grad,
grad_fn names and gradients, or the exception's type and text. `difference` says how two outcomes differ, or
None.
"""

from __future__ import annotations

import re
import warnings

import numpy as np

REAL = {
    "s": 0.7,
    "s2": -1.3,
    "one": [0.4],
    "v": [0.3, -0.8, 1.7],
    "w": [1.2, 0.5, -0.6],
    "u": [0.25, 0.5],
    "x": [[0.31, -0.52, 0.83], [1.24, 0.15, -2.16]],
    "y": [[1.41, 0.62, -0.33], [0.74, -1.55, 0.26]],
    "c": [[0.9], [-0.4]],
    "e": np.zeros((0, 3)),
    "m": [[2.1, 0.3, -0.2], [0.4, 1.7, 0.5], [-0.6, 0.2, 1.9]],
    "q": [[0.2, 1.1, 0.4, -0.7], [0.9, -0.3, 0.8, 0.1], [-1.2, 0.6, 0.05, 1.3]],
    "t3": np.linspace(-1.4, 1.9, 24).reshape(2, 3, 4),
    "h3": np.cos(np.arange(24.0)).reshape(2, 4, 3),
    "img": np.sin(np.arange(64.0)).reshape(1, 2, 4, 8) * 1.5,
    "img3": np.sin(np.arange(24.0)).reshape(1, 2, 12) * 1.5,
    "p": [[0.31, 0.52, 0.83], [1.24, 0.15, 2.16]],
    "unit": [[0.31, 0.52, 0.83], [0.24, 0.15, 0.66]],
}
INTEGER = {
    "s": 2,
    "s2": 3,
    "one": [4],
    "v": [3, -2, 1],
    "w": [1, 5, 2],
    "u": [1, 2],
    "x": [[3, -5, 8], [1, 2, -4]],
    "y": [[1, 2, -3], [7, -1, 2]],
    "c": [[2], [-1]],
    "e": np.zeros((0, 3)),
    "m": [[2, 1, 0], [1, 3, 1], [0, 1, 2]],
    "q": [[2, 1, 0, 5], [1, 3, 1, 4], [0, 1, 2, 7]],
    "t3": np.arange(24).reshape(2, 3, 4),
    "h3": np.arange(24).reshape(2, 4, 3) % 7,
    "img": np.arange(64).reshape(1, 2, 4, 8) % 5,
    "img3": np.arange(24).reshape(1, 2, 12) % 5,
    "p": [[3, 5, 8], [1, 2, 4]],
    "unit": [[0, 1, 1], [1, 0, 1]],
}
# of a fixed dtype whatever the run's is
FIXED = {
    "i": ([[0, 1, 1], [1, 0, 1]], "int64"),
    "j": ([[2, 0, 1], [1, 1, 0]], "int64"),
    "k": ([2, 0], "int64"),
    "k3": ([1, 0, 2], "int64"),
    "b": ([[True, False, True], [False, True, True]], "bool"),
    "bv": ([True, False, True], "bool"),
    "n": ([[3, 1, 2], [5, 4, 7]], "int64"),
    "l": ([1.5, 2.5, -0.5], "float32"),
}
DTYPES = ("float64", "float32", "int64", "bool", "complex128")


def variables(lib, dtype, text):
    """The variables that the text names; floating ones are leaves that require grad."""
    made = {}
    for name in set(re.findall(r"[a-z]\w*", text)):
        if name in FIXED:
            value, own = FIXED[name]
            made[name] = lib.tensor(value, dtype=getattr(lib, own))
        elif name in REAL:
            source = (REAL if dtype.startswith(("float", "complex")) else INTEGER)[name]
            value = np.asarray(source)
            if dtype.startswith("complex"):
                value = value * (1 + 0.5j) - 0.1j
            if dtype == "bool":
                value = value % 2 > 0
            made[name] = lib.tensor(value.tolist(), dtype=getattr(lib, dtype)).reshape(value.shape)
            if dtype.startswith(("float", "complex")):
                made[name].requires_grad_()
    return made


def tensors_in(result, lib):
    """The tensors of a result of any form, in order."""
    if isinstance(result, lib.Tensor):
        return [result]
    if isinstance(result, tuple | list):
        return [t for r in result for t in tensors_in(r, lib)]
    return []


def dtype_name(t):
    return str(t.dtype).replace("torch.", "").replace("pullback.", "")


def array(t):
    # force: torch keeps some zero gradients as ZeroTensors, and conjugates as a flag
    return np.asarray(t.detach().numpy(force=True))


def plain(result, lib):
    """What is no tensor, as text: numbers, shapes, dtypes."""
    if isinstance(result, lib.Tensor):
        return "tensor"
    if isinstance(result, tuple | list):
        return [plain(r, lib) for r in result]
    if isinstance(result, float):
        return round(result, 10)
    return repr(result).replace("pullback", "torch")


def loss(outs, lib):
    """A real number that uses every entry with its own weight."""
    total = None
    for k, o in enumerate(outs):
        weights = lib.tensor(
            (0.5 + 0.1 * np.arange(o.numel()) + 0.3 * k).tolist(), dtype=lib.float64
        ).reshape(o.shape)
        parts = [o.real, o.imag * 0.7] if o.is_complex() else [o]
        for p in parts:
            term = (p.double() * weights).sum()
            total = term if total is None else total + term
    return total


def outcome(lib, text, dtype):
    """What an expression gives; `torch` in it is the library."""
    lib.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = variables(lib, dtype, text)
        leaves = [t for t in names.values() if t.requires_grad]
        keys = [n for n, t in names.items() if t.requires_grad]
        try:
            result = eval(text, {"torch": lib, "np": np, "F": lib.nn.functional}, names)
        except Exception as e:  # noqa: BLE001 - errors are compared, too
            return {"error": type(e).__name__.lstrip("_"), "text": str(e)}
        outs = tensors_in(result, lib)
        found = {
            "plain": plain(result, lib),
            "shapes": [tuple(t.shape) for t in outs],
            "dtypes": [dtype_name(t) for t in outs],
            "requires_grad": [t.requires_grad for t in outs],
            "grad_fn": [None if t.grad_fn is None else t.grad_fn.name() for t in outs],
            "values": [array(t) for t in outs],
        }
        followed = [t for t in outs if t.requires_grad]
        if followed and leaves:
            try:
                grads = lib.autograd.grad(loss(followed, lib), leaves, allow_unused=True)
            except Exception as e:  # noqa: BLE001
                return {**found, "backward": type(e).__name__, "text": str(e)}
            found["gradients"] = {
                n: None if g is None else array(g)
                for n, g in sorted(zip(keys, grads, strict=True), key=lambda p: p[0])
            }
        return found


def first_sentence(text):
    """The first line up to its first full stop that ends a sentence."""
    line = text.strip().split("\n")[0]
    return re.split(r"(?<=[a-z0-9\])'\"])\. ", line)[0].rstrip(".").replace("pullback", "torch")


def close(a, b, rtol):
    if a.dtype.kind in "fc" or b.dtype.kind in "fc":
        scale = max(1.0, float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)))
        with np.errstate(all="ignore"):
            return bool(np.allclose(a, b, rtol=rtol, atol=rtol * scale, equal_nan=True))
    return bool(np.array_equal(a, b))


def difference(mine, theirs, dtype):
    """How pullback's outcome differs from torch's, or None."""
    for key in ("error", "backward"):
        if key in mine or key in theirs:
            d = error_difference(mine, theirs, key)
            if d is not None or key == "error":
                return d
    for key in ("plain", "shapes", "dtypes", "requires_grad", "grad_fn"):
        if mine[key] != theirs[key]:
            return f"{key}: {mine[key]} | torch: {theirs[key]}"
    rtol = 1e-5 if "32" in dtype else 1e-12
    for a, b in zip(mine["values"], theirs["values"], strict=True):
        narrow = b.dtype.itemsize <= (8 if b.dtype.kind == "c" else 4)
        if not close(a, b, max(rtol, 1e-5) if narrow else rtol):
            return f"values: {a.tolist()} | torch: {b.tolist()}"
    return gradient_difference(mine.get("gradients", {}), theirs.get("gradients", {}), max(10 * rtol, 1e-11))


def error_difference(mine, theirs, key):
    """Another exception, another first sentence, or an exception in one library only."""
    if (key in mine) != (key in theirs):
        who, what = ("torch", theirs) if key in theirs else ("pullback", mine)
        return f"only {who} raises: {what.get(key)}: {what.get('text', '')[:150]}"
    if mine[key] != theirs[key]:
        return f"raises {mine[key]} ({mine['text'][:80]}), torch {theirs[key]} ({theirs['text'][:110]})"
    a, b = first_sentence(mine["text"]), first_sentence(theirs["text"])
    return None if a == b else f"{mine[key]} says: {a} | torch: {b}"


def gradient_difference(mine, theirs, rtol):
    """Another gradient, or one where the other library has none."""
    there, theirs_there = ([n for n, g in gs.items() if g is not None] for gs in (mine, theirs))
    if there != theirs_there:
        return f"gradients of {there} | torch: {theirs_there}"
    for n in there:
        a, b = mine[n], theirs[n]
        if a.dtype != b.dtype or not close(a, b, rtol):
            return f"gradient of {n}: {a.tolist()} | torch: {b.tolist()}"
    return None
