"""Per-token losses as a release leaves them in its workspace, and how those of two releases differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from pipeline.release.metrics import number

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.evidence import Measurement

FILE = "evidence/losses.npz"

# In nats: losses are stored in float32, and their mean is the logarithm of the perplexity but for that.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Losses:
    """Nats of every predicted token of the quantized model, (windows, window - 1); token_ids: digest of the tokens."""

    token_ids: str
    nats: NDArray[np.float32]

    def belong_to(self, measurement: Measurement) -> bool:
        """Whether they are the ones that this perplexity was computed from."""
        perplexity = number(measurement.values, "perplexity")
        if measurement.settings.get("token_ids") != self.token_ids or not perplexity or perplexity < 0:
            return False
        return math.isclose(math.log(perplexity), float(self.nats.mean(dtype=np.float64)), abs_tol=_ROUNDING)


def read(path: Path) -> Losses | None:
    """None when there are none, or when the file is not one of losses."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            losses = Losses(str(arrays["token_ids"]), np.asarray(arrays["quantized"], np.float32))
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, BadZipFile):
        return None
    return losses if losses.nats.ndim == 2 and losses.nats.size else None


def paired(earlier: Losses, later: Losses) -> tuple[float, float | None] | None:
    """Mean over tokens of later minus earlier loss, and its standard error; None when they are of other tokens.

    Tokens of one window share what they were predicted from, so windows, not tokens, are the independent samples; of a
    single window no error can be told.
    """
    if earlier.token_ids != later.token_ids or earlier.nats.shape != later.nats.shape:
        return None
    windows = (later.nats.astype(np.float64) - earlier.nats).mean(axis=1)
    count = len(windows)
    error = float(windows.std(ddof=1)) / math.sqrt(count) if count > 1 else None
    return float(windows.mean()), error
