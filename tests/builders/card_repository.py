"""A release repository that holds the demo's card and what it was made from, as the demo's release left them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

DEMO = Path(__file__).parents[2] / "releases" / "demo"
WRITTEN = ("README.md", "evidence.json", "release.lock.json")


def put(folder):
    for name in WRITTEN:
        shutil.copy(DEMO / name, folder)
    shutil.copytree(DEMO / "assets", folder / "assets")


def git(root, *arguments):
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def worsen(folder, perplexity=19.0):
    """One figure of the evidence, the perplexity of the result, by hand."""
    path = folder / "evidence.json"
    table = json.loads(path.read_text())
    (row,) = [row for row in table["measurements"] if (row["measure"], row["subject"]) == ("perplexity", "quantized")]
    row["values"]["perplexity"] = perplexity
    path.write_text(json.dumps(table, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
