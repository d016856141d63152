"""mlx-lm's model classes, without what its package imports beside them.

`import mlx_lm` takes a second, three quarters of it for transformers' tokenizers: as long as quantizing 350 MB.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import threading
from functools import cache
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def defer() -> None:
    """Let `mlx_lm` run its own code when somebody asks it for a name, not when a module within it is imported."""
    # mlx_lm sets it before it imports transformers, which complains about missing frameworks otherwise.
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"
    if "mlx_lm" in sys.modules:
        return
    spec = _spec()
    package: Any = module_from_spec(spec)
    lock, begun = threading.RLock(), threading.Event()

    def run(name: str) -> object:
        with lock:  # another thread waits until the package is whole; the one that runs it finds what it has so far
            if not begun.is_set() and spec.loader:
                begun.set()
                spec.loader.exec_module(package)
        try:
            return vars(package)[name]
        except KeyError:
            raise AttributeError(f"module 'mlx_lm' has no attribute {name!r}", name=name, obj=package) from None

    package.__getattr__ = run
    sys.modules["mlx_lm"] = package


def model_classes(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """The classes of a model and of its arguments, as mlx-lm's `_get_classes` finds them, and its `ValueError`."""
    model_type, named = str(config["model_type"]), config.get("architectures") or ()
    module = _table("MODEL_REMAPPING").get(model_type, model_type)
    for architecture in (named,) if isinstance(named, str) else named:
        if (model_type, architecture) in _table("MODEL_ARCHITECTURE_REMAPPING"):
            module = _table("MODEL_ARCHITECTURE_REMAPPING")[model_type, architecture]
            break
    try:
        found: ModuleType = importlib.import_module(f"mlx_lm.models.{module}")
    except ImportError as error:
        raise ValueError(f"Model type {module} not supported.") from error
    return found.Model, found.ModelArgs


@cache
def _table(name: str) -> dict[Any, str]:
    """A table of model types that share another one's module, read because running `mlx_lm.utils` costs the second."""
    for statement in ast.parse(_source("utils.py")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=found)], value=table) if found == name:
                literal: dict[Any, str] = ast.literal_eval(table)
                return literal
    raise LookupError(f"mlx_lm.utils has no {name}")


def _source(file: str) -> str:
    (folder,) = _spec().submodule_search_locations or [""]
    return Path(folder, file).read_text(encoding="utf-8")


def _spec() -> ModuleSpec:
    spec = sys.modules["mlx_lm"].__spec__ if "mlx_lm" in sys.modules else find_spec("mlx_lm")
    if spec is None:
        raise ModuleNotFoundError("No module named 'mlx_lm'", name="mlx_lm")
    return spec
