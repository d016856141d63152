"""What `pipeline init` says at its end as golden text, and that words of others do nothing in it."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline.console import Begun, show_scaffold
from pipeline.release.macs import GIB
from pipeline.release.schema import Fit, Target

BEGUN = Begun(
    name="mine",
    title="Qwen3 30B A3B in mixed precision",
    base="Qwen/Qwen3-30B-A3B at c1899de289a0",
    parameters=30_532_122_624,
    base_size=61_064_245_248,
    recipe="qwen3-30b-a3b-4.7bit",
    is_new=True,
    also=(),
    size=17_890_000_000,
    bits_per_weight=4.688,
    fit=Fit(memory=f"{32} GiB", context="32k"),
    license="apache-2.0, as the base's card states",
    target=Target(repo="someone/Qwen3-30B-A3B-MLX-4.7bit", tag="v1"),
    root="",
    written=("releases/mine/release.yaml", "releases/mine/base.json", "releases/recipes/qwen3-30b-a3b-4.7bit.yaml"),
    remarks=(),
    needless=False,
)
REMARKED = dataclasses.replace(
    BEGUN,
    is_new=False,
    root="/somewhere/else",
    also=("uniform-4bit", "other"),
    fit=None,
    remarks=("not everything that the card says was taken from it",),
    needless=True,
)


@pytest.mark.parametrize("width", [80, 120])
def test_it_says_what_was_found_written_and_is_next(width, page, check_golden):
    console = page(width)
    show_scaffold(BEGUN, console)
    assert max(map(len, console.file.getvalue().splitlines())) <= width
    check_golden(f"init-{width}", console.file.getvalue())


def test_what_a_person_should_know_comes_last(page, check_golden):
    console = page(100)
    show_scaffold(REMARKED, console)
    check_golden("init-remarks", console.file.getvalue())


def test_words_of_others_steer_no_terminal(terminal):
    console = terminal()
    show_scaffold(dataclasses.replace(BEGUN, title="x\x1b[31m", base="a\nb", remarks=("\u202ec",)), console)
    said = console.file.getvalue()
    assert "\x1b[31m" not in said
    assert "a b" in said
    assert "\\u202ec" in said
    assert BEGUN.fit.memory == 32 * GIB
