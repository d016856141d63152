from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

from pipeline.cli import EXIT_CODES
from pipeline.hub import LOCAL_PORT

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
MAP = re.compile(r"(?<=^```\n)(?:[^`]|`(?!``))*(?=```\s*\Z)", re.MULTILINE)


def the_map() -> str:
    """One line a file: its path, and the first sentence of what it says of itself."""
    files = sorted(path for path in (ROOT / "pipeline").rglob("*.py") if path.stat().st_size)
    lines = [(str(path.relative_to(ROOT)), _first_sentence(path)) for path in files]
    width = max(len(path) for path, _ in lines)
    return "".join(f"{path:{width}}  {sentence}\n" for path, sentence in lines)


def _first_sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.split(r"(?<=[.])\s|\n\n", text.replace("\n", " ") if "\n\n" not in text else text.split("\n\n")[0])[0]


def test_the_map_names_every_file_as_it_describes_itself():
    readme = README.read_text()
    if os.environ.get("UPDATE_GOLDEN"):
        README.write_text(readme := MAP.sub(lambda _: the_map(), readme))
    assert MAP.search(readme).group() == the_map(), "refresh it: UPDATE_GOLDEN=1 pytest tests/test_readme.py"


def test_every_file_says_what_it_is():
    assert all(_first_sentence(path) for path in (ROOT / "pipeline").rglob("*.py") if path.stat().st_size)


def test_every_link_leads_somewhere():
    for page in (README, *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_exit_codes_are_those_of_the_program():
    of_help = set(re.findall(r"^  (\d+)", EXIT_CODES, re.MULTILINE))
    assert set(re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)) == of_help


def test_the_hub_listens_where_cards_and_readme_say():
    from pipeline.card.render import LOCAL_ENDPOINT

    assert LOCAL_ENDPOINT == f"http://127.0.0.1:{LOCAL_PORT}"
    assert LOCAL_ENDPOINT in README.read_text()


def test_nothing_of_the_workplace_is_committed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert not re.search(r"\.pipeline/|\.venv/", listed)
