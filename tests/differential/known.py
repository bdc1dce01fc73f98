"""Where pullback differs from PyTorch 2.13, and why: reason -> a regular expression over
"name :: expression [dtype] difference".

DELIBERATE differences stay. GAPS are to be closed; an entry that no longer matches anything must be removed
(a test says so).
"""

from __future__ import annotations

DELIBERATE = {
    "PyTorch's trigamma is accurate to 1e-10 only; ours to 1e-14": (
        r"^(digamma|digamma_|polygamma) ::.*\[float64\] (gradient|values)"
    ),
    "PyTorch's 1/6 is a float32 constant": (r"hardsigmoid.*gradient"),
    "decision 001: an exactly zero cotangent stays zero": (r"^nan_to_num ::.*gradient of x: \[\[0"),
    "PyTorch lets gradients pass logical_not_ and the like as if nothing was written; ours is 0": (
        r"^logical_\w+_ ::.*grad_fn: \['Logical"
    ),
    "an expanded leaf: both errors apply; ours names the cause that remains after detaching": (
        r"^in place :: v\.expand"
    ),
}

GAPS = {
    "the name of an in-place form without derivative in the text": (
        r"^(floor_divide|heaviside)_ ::.*aten::\w+_ is not implemented"
    ),
    "texts of wrong calls that Python's own argument binding words": (r"^errors ::"),
    "names that do not exist yet": (r"has no attribute"),
    "logaddexp and logcumsumexp of complex numbers": (
        r"\[complex128\] only pullback raises: (TypeError: ufunc 'logaddexp'|"
        r".*logcumsumexp)|raises TypeError .ufunc 'logaddexp'"
    ),
    "PyTorch's derivative of a bool argument fails": (r"^(logaddexp2?|pow) ::.* b\) .*Subtraction"),
    "a bool to a bool number": (r"^pow :: torch.pow\(x, True\) \[bool\]"),
    "rsub names its operands the other way round": (r"^rsub ::.*(size of tensor|argument 'input')"),
    "in place: the dtype of the result is refused first": (r"^(bitwise|hypot)\w*_ ::.*raises NotImplemented"),
    "float_power_ must not be narrower than double": (r"^float_power_ ::"),
    "cross_entropy: sizes are checked before the target's dtype": (
        r"cross_entropy\(x, v\).*raises RuntimeError"
    ),
    "clamp_min and clamp_max of complex numbers": (r"clamp is not supported for complex types"),
    "rsub of two bools": (r"^sub alpha :: torch.rsub\(x, y, alpha=2\) \[bool\]"),
    "the kernel's name for rounding_mode='trunc'": (r"div_floor_cpu.*div_trunc_cpu"),
    "C++ names of dtypes in some texts": (
        r"type long int|dtype long int|output type (bool|long int)$|expected dtype complexdouble"
    ),
    "grad_fn names of polygamma(0, x) and polygamma_": (r"polygamma(\(0|_\(1).*grad_fn"),
    "round(decimals=0) is recorded as round, and refuses no integers": (r"^round :: x.round\(decimals=0\)"),
    "kernels that PyTorch lacks for integers (prelu, histogram, ...)": (
        r"\[(int64|bool)\] only torch raises: NotImplementedError"
    ),
    "in-place scans of bools": (r"cum(sum|prod)_\(.*\[bool\]"),
    "view(dtype=) with sizes": (r"view\(2, 3, dtype=1\)"),
    "the text of broadcast_shapes": (r"broadcast_shapes\(\(2,\), \(3,\)\)"),
    "addmm of integers cuts beta to an integer": (r"^addmm :: torch.addmm\(y, x, m, beta=0.5"),
    "the stream of poisson": (r"torch.poisson"),
    "the text of size(dim)": (r"x.size\(5\)"),
    "fill_diagonal_ is recorded as masked_fill": (r"fill_diagonal_"),
    "PyTorch refuses a target that requires grad": (r"^losses :: F.soft_margin_loss"),
    "instance_norm ends with another op": (r"instance_norm\(img3\).*grad_fn"),
}
