"""The error texts of `gradcheck`. May import nothing of the package."""

from __future__ import annotations

from typing import Any

NO_GRAD_INPUT = (
    "gradcheck expects at least one input tensor to require gradient, "
    "but none of them have requires_grad=True."
)
NOT_DOUBLE = (
    "Input #{i} requires gradient and is not a double precision floating point or complex. This check will "
    "likely fail if all the "
    "inputs are not of double precision floating point or complex. "
)
STRIDE_ZERO = (
    "The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
    "non-overlapping to be able to compute "
    "the numerical gradients correctly. You should call .contiguous on the input before passing it to "
    "gradcheck."
)
NOT_REENTRANT = (
    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
    "gives different values, "
    "although analytical gradient matches numerical gradient.The tolerance for nondeterminism was {tol}.\n"
    "  try:  make backward deterministic, or pass nondet_tol=<tolerance>"
)
ZERO_EXPECTED = "Numerical gradient for function expected to be zero"
UNDEFINED_WARNING = (
    "Backwards compatibility: New undefined gradient support checking feature is enabled by default, but "
    "it may break existing "
    "callers of this function. If this is true for you, you can call this function with "
    '"check_undefined_grad=False" to disable '
    "the feature"
)
UNDEFINED_RAISES = (
    "Expected backward function to handle undefined output grads. Please look at "
    '"Notes about undefined output gradients" in '
    '"tools/autograd/derivatives.yaml"'
)
UNDEFINED_NOT_ZERO = (
    "Expected all input grads to be undefined or zero when all output grads are undefined or zero. Please "
    "look at "
    '"Notes about undefined output gradients" in "tools/autograd/derivatives.yaml"'
)
BATCHED = (
    "\nFor output {i} and input {k}:\n\ngradcheck or gradgradcheck failed while testing batched gradient "
    "computation.\n"
    "The gradients of a batch of upstreams, computed in one sweep (vmap), differ from those computed one "
    "by one.\n\n"
    "Got:\n{got}\n\nExpected:\n{expected}\n"
)


def mismatch(analytical: Any, numerical: Any, i: int, k: int, part: str, element: str, forward: bool) -> str:
    """The text for output i and input k; part is "", "real" or "imaginary" (of complex `element`s)."""
    head = f"While considering the {part} part of complex {element} only, " if part else ""
    mode = "computed with forward mode " if forward else ""
    return (
        f"{head}Jacobian {mode}mismatch for output {i} with respect to input {k},\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )


def slow_mode(analytical: Any, numerical: Any, difference: Any, passes: bool) -> str:
    """What fast mode adds: the matrices of slow mode."""
    text = (
        "\nThe above quantities relating the numerical and analytical jacobians are computed \n"
        "in fast mode. See: https://github.com/pytorch/pytorch/issues/53876 for more background \n"
        "about fast mode. Below, we recompute numerical and analytical jacobians in slow mode:\n\n"
        f"Numerical:\n {numerical}\nAnalytical:\n{analytical}\n\nThe max per-element difference (slow mode) "
        f"is: {difference}.\n"
    )
    if passes:
        text += (
            "\nFast gradcheck failed but element-wise differences are small. This means that the\n"
            "test might've passed in slow_mode! Try fast_mode=False, or larger tolerances.\n"
        )
    return text
