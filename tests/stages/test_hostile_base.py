"""A base whose card means harm, on a local Hub: read as a release reads it, and rendered to a whole card."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from pipeline.card.front_matter import parse
from pipeline.errors import UsageError
from pipeline.hub.connect import connect
from pipeline.hub.local.store import Store
from pipeline.hub.protocol import Repository
from pipeline.metadata.base_card import BaseCard
from pipeline.metadata.lint import lint
from pipeline.release.load import load_release
from pipeline.stages.front_matter import check_front_matter
from pipeline.stages.job import Folders, base_of, open_job
from pipeline.stages.render import rendered

BASE = Repository("demo/tiny-kimi")
MARKS = "\N{RIGHT-TO-LEFT OVERRIDE}\N{RIGHT-TO-LEFT MARK}\N{ZERO WIDTH SPACE}\N{LEFT-TO-RIGHT ISOLATE}"
EVIL = f"Evil{MARKS}"
RELEASE = """
title: Tiny Kimi
summary: Random weights in the shape of Kimi K2.5.
{license}
hub: local
base: {{repo: demo/tiny-kimi, revision: {revision}, trust_remote_code: true}}
recipe: tiny-kimi
target: {{repo: demo/tiny-kimi-MLX, tag: v1, shard_size: 200 kB}}
evaluate:
  text: {{path: text.txt, license: cc0-1.0, attribution: nobody}}
  prompts: [Hello]
thresholds: {{generation: true}}
"""
RECIPE = "version: 1\nsummary: Four bits.\nrules:\n  - {match: '.', bits: 4, why: Because.}\notherwise: error\n"
TEMPLATE = "{{ ().__class__.__mro__[1].__subclasses__() }}{% include '/etc/passwd' %}{# gone #}"
HTML = f"</details><script>alert('{EVIL}')</script><img src=x onerror=alert(1)><!--"
BOMB = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [{', '.join(['*a'] * 9)}]\n" for n in range(60))


def front(*lines):
    return "---\n" + "\n".join(lines) + f"\n---\n# {EVIL} {HTML}\n\n{TEMPLATE}\n"


HOSTILE = {
    "template code": front(f'license: "{TEMPLATE}"', f'language: ["{TEMPLATE}"]', f'pipeline_tag: "{TEMPLATE}"'),
    "html": front(f'license: "{HTML}"', f'language: "{HTML}"', f'license_name: "{HTML}"', f'license_link: "{HTML}"'),
    "direction marks": front(f"license: mit{MARKS}", f"language: [en{MARKS}]", f"{EVIL}: {EVIL}"),
    "another front matter": front('license: "mit\\n---\\nlicense: gpl\\nbase_model: evil/model\\n---\\n# Evil"'),
    "a key of its own": front('language: ["en\\nbase_model: evil/model"]', 'pipeline_tag: "a\\nlicense: mit"'),
    "mappings": front("license: {mit: {deep: x}}", "language: {en: English}", "pipeline_tag: [[text-generation]]"),
    "aliases": front(BOMB, "license: *b59", "language: *a", "<<: *b1"),
    "tags": front("license: !!python/object/apply:os.system ['touch /tmp/evil']", "language: !!binary ZW4="),
    "keys that stand twice": front("license: gpl-3.0", "license: mit", "language: en", "language: zh"),
    "too deep": front("license: " + "[" * 5000, "language: en"),
    "megabytes": "---\n# " + "x" * 3_000_000 + "\nlicense: mit\n---\n",
    "huge fields": front(f"license: {'m' * 60_000}"),
    "no front matter": HTML + TEMPLATE,
    "no text": "---\nlicense: \x00\ud800\n---\n".encode("utf-8", "surrogatepass"),
    "a link that runs": front("license: other", "license_name: x y", "license_link: javascript:alert(1)"),
}


@pytest.fixture
def opened(repository, tiny_kimi_base):
    """The release of a base with this card, on a Hub that was just started."""

    @contextlib.contextmanager
    def open_(card, license_="license: {name: tiny, link: LICENSE}"):
        files = {str(path.relative_to(tiny_kimi_base)): path for path in tiny_kimi_base.rglob("*") if path.is_file()}
        files["README.md"] = repository.root / "base.md"
        files["README.md"].write_bytes(card if isinstance(card, bytes) else card.encode())
        revision = Store(repository.hub).import_folder(BASE, files, "tiny", "2026-01-01T00:00:00Z")
        releases = repository.root / "releases"
        (releases / "recipes/tiny-kimi.yaml").write_text(RECIPE)
        (releases / "tiny-kimi").mkdir(exist_ok=True)
        (releases / "tiny-kimi/release.yaml").write_text(RELEASE.format(revision=revision, license=license_))
        (repository.root / "text.txt").write_text("A text.")
        with connect("local", repository.hub, writable=False) as hub:
            yield load_release(repository.root, "tiny-kimi"), Folders(repository.root, repository.workspace), hub

    return open_


@pytest.fixture
def card_of(opened):
    """The job of such a release, and its whole card, which the Hub accepts."""

    def render(*arguments):
        with opened(*arguments) as (asked, folders, hub):
            job = open_job(asked, folders, hub, keep=True)
            made = rendered(asked, folders)
            hub.validate_card(made)
        revision = asked.release.base.revision
        return job, made.replace(revision, "0" * 40).replace(revision[:12], "0" * 12)

    return render


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_of_a_hostile_card_is_kept_beside_the_release(opened, kind):
    with opened(HOSTILE[kind]) as (asked, folders, hub):
        base = base_of(asked, folders, hub, keep=True)
    assert replace(base.card, dropped=(), license="") == BaseCard()
    assert base.card.license in {"", "other"}
    assert bool(base.card.dropped) == (kind != "no front matter")
    assert all(one.isascii() and not set("<{") & set(one) for one in base.card.dropped)
    written = (folders.release("tiny-kimi") / "base.json").read_text()
    assert len(written) < 50_000
    assert not set(MARKS) & set(written)
    assert "Evil" not in written


@pytest.mark.parametrize("kind", ["html", "another front matter", "aliases", "megabytes"])
def test_nothing_of_a_hostile_card_reaches_the_card_of_a_release(card_of, kind):
    _, harmless = card_of("# A model\n")
    job, made = card_of(HOSTILE[kind])
    assert made == harmless
    assert len(check_front_matter(job)) == 1
    fields, body = parse(made)
    assert list(fields)[:4] == ["base_model", "base_model_relation", "library_name", "pipeline_tag"]
    assert lint(fields, {"LICENSE"}) == []
    shown = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(body)
    assert not set(re.findall(r"<([a-z0-9]+)", shown)) & {"script", "iframe", "object", "style", "svg"}
    assert all(source.startswith("assets/") for source in re.findall(r'<img src="([^"]*)"', shown)), "our own plots"
    assert not re.search(r"\{\{|\{%|\{#", made)
    assert not set(MARKS) & set(made)


def test_what_a_hostile_card_states_by_the_rules_is_all_that_is_taken(card_of):
    lines = ("license: other", "license_name: tiny-1.0", f'language: [en, "{EVIL}", "{TEMPLATE}"]', f'tags: ["{HTML}"]')
    job, made = card_of(front(*lines, f'base_model: "{HTML}"', "new_version: evil/model"), "")
    fields, body = parse(made)
    assert [fields[key] for key in ("license", "license_name", "license_link")] == ["other", "tiny-1.0", "LICENSE"]
    assert fields["language"] == ["en"]
    assert (fields["base_model"], fields["tags"]) == ("demo/tiny-kimi", ["mlx"])
    assert "`tiny-1.0`, whose text is in [LICENSE](LICENSE)" in body
    assert "evil" not in made.lower()
    [told] = check_front_matter(job)
    assert told.endswith("`language`: 2 of 3 values are no codes of ISO 639 that the Hub knows")


def test_a_hostile_card_states_no_license_and_a_release_that_states_none_begins_nothing(card_of):
    with pytest.raises(UsageError, match="nobody states the license of tiny-kimi"):
        card_of(HOSTILE["template code"], "")
