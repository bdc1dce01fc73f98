"""Imports point one way, nothing of the package is imported inside a function, and `import pullback` stays
light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
FILES = sorted((SRC / "pullback").rglob("*.py"))

# lowest first; a module may import its own layer and those below
LAYERS = [
    ("errors",),
    ("dtypes", "printing"),
    ("graph",),
    ("families", "random"),
    ("ops",),
    ("methods",),
    (
        "autograd.stories",
        "autograd.known",
        "autograd.began",
        "autograd.nonfinite",
        "autograd.anomalies",
        "autograd.cuts",
        "autograd.unused",
        "autograd.upstreams",
        "autograd.written",
        "autograd.second",
        "autograd.passes",
        "autograd.trouble",
        "autograd.engine",
        "autograd.hooks",
        "autograd.handles",
        "autograd.public",
        "autograd.grad_mode",
        "autograd.context",
        "autograd.returned",
        "autograd.function",
    ),
    ("transform",),
    ("func",),
    ("autograd", "linalg", "special"),
    ("nn",),
    ("optim", "utils", "serialization"),
    ("compiler.program",),
    ("compiler",),
    ("descent", "distributions", "sampling"),
    ("explanations",),
    ("plot",),
    ("compat",),
    ("cli", "cli_explain", "cli_inputs", "cli_outputs", "cli_sensitivity", "__main__", ""),
]


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC / "pullback").with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def layer(name: str) -> int:
    found = [
        (len(prefix), i)
        for i, group in enumerate(LAYERS)
        for prefix in group
        if name == prefix or (prefix and name.startswith(prefix + "."))
    ]
    assert found, f"{name} belongs to no layer: add it to LAYERS in {Path(__file__).name}"
    return max(found)[1]


def package_imports(node: ast.AST) -> list[str]:
    """The pullback modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [a.name.removeprefix("pullback.") for a in node.names if a.name.startswith("pullback.")]
    if isinstance(node, ast.ImportFrom) and node.module == "pullback":
        return [
            a.name
            if (SRC / "pullback" / f"{a.name}.py").exists() or (SRC / "pullback" / a.name).is_dir()
            else ""
            for a in node.names
        ]
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pullback."):
        module = (node.module or "").removeprefix("pullback.")
        inner = [
            f"{module}.{a.name}"
            for a in node.names
            if (SRC / "pullback" / module.replace(".", "/") / f"{a.name}.py").exists()
        ]
        return inner or [module]
    return []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path):
    name = module_name(path)
    mine = layer(name)
    for node in ast.walk(ast.parse(path.read_text())):
        for target in package_imports(node):
            assert layer(target) <= mine, f"{name} imports {target}, which stands above it"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_package_import_inside_a_function(path):
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = [t for node in ast.walk(function) for t in package_imports(node)]
            lazy = module_name(path) in ("", "cli", "__main__") or module_name(path).startswith("compat")
            assert not inside or lazy, f"{function.name} in {path.name} imports {inside} when it is called"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_module_says_what_it_holds(path):
    doc = ast.get_docstring(ast.parse(path.read_text()))
    assert doc, f"{path} has no header"


def test_import_is_light():
    program = (
        "import sys; import pullback; heavy = [m for m in ('scipy', 'matplotlib', 'llvmlite', 'torch', "
        "'jax', 'asyncio')"
        " if m in sys.modules]; sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"import pullback also imports {done.stdout} {done.stderr}"
