"""What `autograd.functional` accepts, and its error texts.

Read `tensors_of` first. May import `graph`, `errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor, wrap

WHILE_HESSIAN = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to "
    "input {i} is independent of "
    "the input. This is not allowed in strict mode. You should ensure that your function is twice "
    "differentiable and that the "
    "jacobian depends on the inputs (this would be violated by a linear function for example)."
)
WHILE_THIRD = (
    "The hessian of the user-provided function with respect to input {i} is independent of the input. This "
    "is not allowed in strict "
    "mode. You should ensure that your function is thrice differentiable and that the hessian depends on "
    "the inputs."
)


def tensors_of(given: Any, what: str, name: str) -> tuple[bool, list[Tensor]]:
    """(was it a tuple, its tensors); TypeError for anything but a tensor or a tuple of tensors."""
    if isinstance(given, Tensor):
        return False, [given]
    head = f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the"
    if not isinstance(given, tuple):
        raise TypeError(message(f"{head} given {what} has type {type(given)}.", "", "use a tuple: (a, b)"))
    items: tuple[Any, ...] = given
    for i, x in enumerate(items):
        if not isinstance(x, Tensor):
            raise TypeError(
                message(
                    f"{head} value at index {i} has type {type(x)}.", "", "bind other values with a lambda"
                )
            )
    return True, list(items)


def check_strategy(strategy: str, create_graph: bool, strict: bool, vectorize: bool) -> None:
    """Raise PyTorch's errors for options that do not go together."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has '
            "more outputs than inputs, "
            '"forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError(
                'torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"` are '
                "not supported together "
                '(yet). Please either set `create_graph=False` or `strategy="reverse-mode"`.'
            )
        if strict:
            raise RuntimeError(
                'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not '
                "supported together (yet). "
                'Please either set `strict=False` or `strategy="reverse-mode"`.'
            )
        if not vectorize:
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented "
                "for `vectorize=True`."
            )
    elif vectorize and strict:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported "
            "together. Please either set "
            "`strict=False` or `vectorize=False`."
        )


def check_single(name: str, is_tuple: bool, outs: Sequence[Tensor]) -> None:
    """RuntimeError unless a function returned one tensor of one element."""
    if is_tuple:
        raise RuntimeError(
            message(
                f"The function given to {name} should return a single Tensor", "", "return the tensor itself"
            )
        )
    if outs[0].numel() != 1:
        raise RuntimeError(
            message(
                f"The Tensor returned by the function given to {name} should contain a single element",
                f"it has shape {list(outs[0].value.shape)}",
                "reduce it, for example with .sum()",
            )
        )


def check_depends(found: Sequence[Any], kind: str, strict: bool) -> None:
    """In strict mode, RuntimeError where an output, gradient or second derivative does not depend on the
    inputs.
    """
    if not strict:
        return
    for i, t in enumerate(found):
        if t is not None and t.requires_grad:
            continue
        if t is None:
            raise refuse(_NONE["back"].format(i=i))
        if kind == "hessian":
            raise refuse(WHILE_THIRD.format(i=i))
        if kind == "jacobian":
            raise refuse(WHILE_HESSIAN.format(i=i))
        if kind == "grad_inputs":
            raise refuse(
                f"The gradient with respect to input {i} is independent of the inputs of the user-provided "
                "function. This is not "
                "allowed in strict mode."
            )
        raise refuse(
            f"Output {i} of the user-provided function does not require gradients. The outputs must be "
            "computed in a differentiable "
            "manner from the input when running in strict mode."
        )


def refuse(text: str) -> RuntimeError:
    """An error of strict mode."""
    return RuntimeError(message(text, "", "strict=False gives zeros instead"))


def check_v(v: Sequence[Tensor], like: Sequence[Tensor], is_tuple: bool) -> None:
    """RuntimeError unless v has the structure and shapes of what it multiplies."""
    if len(v) != len(like):
        if is_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(v)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (mine, theirs) in enumerate(zip(v, like, strict=True)):
        if mine.shape != theirs.shape:
            where = f"Entry {i} in " if is_tuple else ""
            raise RuntimeError(
                f"{where}v has invalid size: should be {theirs.shape!r} but got {mine.shape!r}."
            )


def no_vector(subject: str) -> RuntimeError:
    """The error for a product without its vector."""
    return RuntimeError(
        message(
            f"The vector v can only be None if {subject} a single Tensor with a single element.",
            "",
            "give v, of the same shapes",
        )
    )


_NONE = {
    "back": "The output of the user-provided function is independent of input {i}. This is not "
    "allowed in strict mode.",
    "back_trick": "The gradient with respect to the input is independent of entry {i} in the grad_outputs "
    "when using the "
    "double-backward trick to compute forward mode gradients. This is not allowed in strict mode.",
    "double_back": "The jacobian of the user-provided function is independent of input {i}. This is not "
    "allowed in strict mode.",
    "double_back_trick": "The hessian of the user-provided function is independent of entry {i} in the "
    "grad_jacobian. This is not "
    "allowed in strict mode as it prevents from using the double-backward trick to replace forward mode AD.",
}


def filled(
    found: Sequence[Any], like: Sequence[Tensor], strict: bool, create_graph: bool, stage: str
) -> list[Tensor]:
    """Zeros for what does not depend; in strict mode an error."""
    made: list[Tensor] = []
    for i, (c, x) in enumerate(zip(found, like, strict=True)):
        if c is None and strict:
            raise refuse(_NONE[stage].format(i=i))
        if c is not None and strict and create_graph and not c.requires_grad:
            what = "hessian" if "double" in stage else "jacobian"
            raise refuse(
                f"The {what} of the user-provided function is independent of input {i}. This is not allowed "
                "in strict mode when "
                "create_graph=True."
            )
        made.append(c if c is not None else wrap(np.zeros(x.value.shape, x.value.dtype)))
    return made
