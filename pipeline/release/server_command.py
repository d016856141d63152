"""The command line that serves a model: printed on the card, and run before the card is published."""

from __future__ import annotations


def server_command(model: str, *, trust_remote_code: bool) -> tuple[str, ...]:
    """`model`: a repository, or a folder; the port is mlx-lm's own choice, 8080, unless it is added."""
    return ("mlx_lm.server", "--model", model, *(("--trust-remote-code",) if trust_remote_code else ()))
