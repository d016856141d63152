"""The arguments of `pipeline hub`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.arguments.parser import command, with_workspace
from pipeline.hub import LOCAL_PORT

if TYPE_CHECKING:
    from argparse import Namespace

    from pipeline.arguments.parser import Commands


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "hub",
        "run the embedded Hub",
        "Serves what rehearsals have published, to any Hub client on this machine.",
        f"  pipeline hub\n  HF_ENDPOINT=http://127.0.0.1:{LOCAL_PORT} mlx_lm.generate \\\n"
        "      --model demo/SmolLM2-135M-Instruct-MLX-mixed --prompt 'Hello!'\n"
        "  pipeline hub --faults bad-day.yaml    rehearse a bad day, as docs/local-hub.md describes",
    )
    parser.set_defaults(run=_run)
    with_workspace(parser)
    parser.add_argument("--port", type=int, default=LOCAL_PORT, help="default: %(default)s")
    parser.add_argument("--faults", metavar="FILE", help="let requests go wrong by the rules of this YAML file")


def _run(options: Namespace) -> int:
    from pipeline.commands import hub

    return hub.run(options.workspace, options.port, options.faults)
