"""What one run of the benchmark reads and generates, known without loading mlx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SHORT_PROMPT = 512  # tokens: what mlx_lm.benchmark reads unless told otherwise


@dataclass(frozen=True)
class Length:
    """Reading a prompt of `tokens`, or generating so many after a short prompt."""

    kind: Literal["prompt", "generation"]
    tokens: int

    @property
    def prompt(self) -> int:
        return self.tokens if self.kind == "prompt" else SHORT_PROMPT

    @property
    def generation(self) -> int:
        """One token at least, for reading ends when it comes."""
        return self.tokens if self.kind == "generation" else 1

    def work(self, trials: int) -> int:
        """Tokens in all trials, and in the run before them that warms up."""
        return (trials + 1) * (self.prompt + self.generation)
