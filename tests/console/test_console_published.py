"""What became of a published release, as golden text, and words of others kept harmless."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.console import show_rollback, show_verified, show_withdrawal
from pipeline.hub.rollback import Rollback
from pipeline.manifest import File, Manifest
from pipeline.stages.verify import Row, Verified
from pipeline.stages.withdraw import Withdrawal

SHARDS = [File(f"model-{n:05}-of-00070.safetensors", 5_000_000_000, f"{n:064}") for n in range(1, 71)]
CONFIG = File("config.json", 58_700, git_sha1="c" * 40)
CARD = File("README.md", 21_000, git_sha1="a" * 40)
COMMIT, HEAD = "0123456789abcdef" * 2 + "01234567", "fedcba9876543210" * 2 + "fedcba98"
VERIFIED = Verified(
    "v2.5",
    "https://huggingface.co/someone/Kimi-K2.5-MLX-2.5bit",
    "v2",
    COMMIT,
    (),
    (),
    tuple(Row(file, "same", "same") for file in (CARD, CONFIG, *SHARDS)),
    Path("/Volumes/Big/pipeline/releases/v2.5/model"),
)
DIFFERING = replace(
    VERIFIED,
    problems=("the tag v2 names commit 0123456789ab, and the lock fedcba987654",),
    remarks=("main is at another commit, fedcba987654",),
    rows=(
        Row(CARD, "same", "other content"),
        Row(CONFIG, "missing", "same"),
        Row(SHARDS[0], "other content", "missing"),
        *(Row(file, "same", "same") for file in SHARDS[1:]),
        Row(File("notes.txt", 12, git_sha1="b" * 40), "not looked at", "not of the release"),
    ),
)
ROLLBACK = Rollback(
    "v1", COMMIT, HEAD, Manifest((CARD, CONFIG, *SHARDS)), tuple(SHARDS[:60]), (CARD,), (File("extra.txt", 3),)
)
FRONT = "---\nlicense: mit\n---\n"
WARNING = "<!-- withdrawn: v1 -->\n> [!WARNING]\n> **This release, `v1`, has been withdrawn.** Wrong template.\n"
WITHDRAWAL = Withdrawal("v1", HEAD, f"{FRONT}\n# Model\n", f"{FRONT}\n{WARNING}\n# Model\n", True, True)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "verified"),
    [
        ("same", VERIFIED),
        ("differing", DIFFERING),
        ("no-workspace", replace(VERIFIED, rows=(Row(CONFIG, "not looked at", "same"),), model=None)),
    ],
)
def test_what_was_compared_and_what_differs(name, verified, width, page, check_golden):
    console = page(width)
    show_verified(verified, console)
    check_golden(f"verified-{name}-{width}", console.file.getvalue())


@pytest.mark.parametrize("width", [80, 120])
def test_what_a_rollback_would_do(width, page, check_golden):
    console = page(width)
    show_rollback(ROLLBACK, "someone/model", console, dry_run=True)
    check_golden(f"rollback-{width}", console.file.getvalue())


def test_a_rollback_that_changes_nothing(page):
    console = page()
    show_rollback(replace(ROLLBACK, copied=(), fetched=(), deleted=()), "someone/model", console)
    assert "nothing to do" in console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_what_a_withdrawal_would_do(width, page, check_golden):
    console = page(width)
    show_withdrawal(WITHDRAWAL, "someone/model", console, dry_run=True)
    check_golden(f"withdrawal-{width}", console.file.getvalue())


def test_a_withdrawal_that_is_half_done_or_done(page):
    half = replace(WITHDRAWAL, before=WITHDRAWAL.after)
    for withdrawal, said in ((half, "it warns already"), (replace(half, tagged=False), "nothing to do")):
        console = page()
        show_withdrawal(withdrawal, "someone/model", console)
        assert said in console.file.getvalue()


def test_words_of_others_steer_no_terminal(page):
    hostile = File("a\x1b[2J\u202eb", 1)
    console = page()
    show_verified(replace(VERIFIED, rows=(Row(hostile, "same", "missing"),)), console)
    show_rollback(replace(ROLLBACK, copied=(hostile,)), "someone/model", console)
    show_withdrawal(replace(WITHDRAWAL, after="a\x1b[2J\u202eb"), "someone/model", console)
    assert not re.search("[\x1b\u202e]", console.file.getvalue())
