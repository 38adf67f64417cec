"""Finds policies: one per file of a package, so that adding one is adding a file."""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def discovered(path: Iterable[str], package: str, function: str) -> dict[str, Any]:
    """The function of that name in every module of a package, by the policy's name."""
    names = sorted(module.name for module in iter_modules(path))
    return {
        name.replace("_", "-"): getattr(import_module(f"{package}.{name}"), function)
        for name in names
    }
