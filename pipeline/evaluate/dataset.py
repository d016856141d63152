"""Tokens sampled from a dataset: those that `mlx_lm.perplexity` measures, by its own function."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from mlx_lm.perplexity import load_data

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import mlx.core as mx

    from pipeline.evaluate.forward import Tokens
    from pipeline.evaluate.model import Tokenizer

_load_data: Callable[..., mx.array] = load_data


@dataclass(frozen=True)
class Sample:
    """What is measured on: `windows` sequences of `window` tokens of a dataset's split `train`, chosen by `seed`.

    dataset: its name, or a folder's path, as the package `datasets` understands it.
    """

    dataset: str
    seed: int
    window: int
    windows: int


def check_installed() -> None:
    """`UsageError` without the package that loads datasets, which only this needs."""
    if find_spec("datasets") is None:
        raise UsageError(
            "`evaluate.text.dataset` needs the package `datasets`, which is not installed",
            hint="Install pipeline's extra, `pip install '.[eval]'`, or that package alone, `pip install datasets`.",
        )


def sampled(tokenizer: Tokenizer, sample: Sample) -> Tokens:
    """The tokens (windows, window); `UsageError` when the dataset cannot be loaded or is too small."""
    check_installed()
    dataset, count, length = sample.dataset, sample.windows, sample.window
    before = np.random.get_state()  # noqa: NPY002 - the generator that mlx_lm.perplexity takes its order from
    np.random.seed(sample.seed)  # noqa: NPY002
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it loads
            data = _load_data(tokenizer, dataset, count, length)
    except IndexError:
        data = None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        raise UsageError(
            f"the dataset {dataset!r} cannot be sampled: {error}",
            hint="Correct `evaluate.text.dataset`; it takes what `mlx_lm.perplexity --data-path` takes.",
        ) from error
    finally:
        np.random.set_state(before)  # noqa: NPY002
    if data is None or len(data) < count:
        raise UsageError(
            f"the dataset {dataset!r} has fewer than {count * length:,} tokens, {count} samples of {length}",
            hint="Lower `evaluate.text.samples` or `evaluate.text.sequence_length`, or choose a larger dataset.",
        )
    return np.array(data, np.int32)
