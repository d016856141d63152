"""Sizes as golden text, at two widths and for every case that is said in words."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline.console import show_sizes, show_sizes_page
from pipeline.release.macs import GIB
from pipeline.stages.sizes import Disk, Memory, RuleCount, Sizes
from pipeline.weights.layout import TensorClass

RECIPE = "releases/recipes/mixed.yaml"
GB = 10**9


def memory(context, cache, mac=64):
    return Memory(context, 40 * GB, cache, mac * GIB if mac else None)


@pytest.fixture
def sizes():
    return Sizes(
        parameters=100_663_296_000,
        nbytes=40 * GB,
        bits_per_weight=3.1789,
        shards=tuple((f"model-{n:05}-of-00009.safetensors", 5 * GB - n) for n in range(9)),
        classes=(
            TensorClass("switch_mlp.down_proj", "3 bit g64", 60 * GB, 26 * GB),
            TensorClass("switch_mlp.up_proj", "2 bit g64", 40 * GB, 12 * GB),
            TensorClass("mlp.gate", "8 bit g64", 600_000_000, 1_900_000_000),
            TensorClass("norm", "float32", 4096, 16384),
        ),
        rules=(
            RuleCount(RECIPE, 8, r"switch_mlp\.down_proj$", "1-11,15", "3 bit g64", 12),
            RuleCount(RECIPE, 12, r"switch_mlp\.", "", "2 bit g64", 36),
        ),
        beyond=(RuleCount(RECIPE, 20, "architecture", "", "8 bit g64", 30),),
        memory=(memory(4096, 288_000_000), memory(131072, 9 * GB), memory(1 << 20, 400 * GB, None)),
        disk=Disk(200 * GB, 40 * GB, 10 * GB),
        whole=("lm_head.weight",),
        fit=None,
        room=None,
        fits=None,
        note="",
    )


@pytest.mark.parametrize("width", [80, 120])
def test_everything_about_sizes(width, sizes, page, check_golden):
    console = page(width)
    show_sizes(sizes, console)
    check_golden(f"sizes-{width}", console.file.getvalue())


def test_against_a_budget(sizes, page, check_golden):
    console = page(120)
    shown = dataclasses.replace(sizes, room=45 * GB, fits=False, note="Made from a list.", whole=(), beyond=())
    parent = RuleCount("releases/recipes/parent.yaml", 3, "a", "", "4 bit g64", 0)
    show_sizes(dataclasses.replace(shown, rules=(*sizes.rules, parent)), console)
    check_golden("sizes-budget", console.file.getvalue())


def test_what_is_not_known_is_not_a_number(sizes, pipe):
    console = pipe()
    show_sizes(dataclasses.replace(sizes, memory=(memory(4096, None, None),)), console)
    (line,) = [line for line in console.file.getvalue().splitlines() if line.strip().startswith("4,096")]
    assert line.split("  ")[-1] == "not known"
    assert "over 40.00 GB" in line


def test_names_of_others_steer_no_terminal(sizes, pipe):
    console = pipe()
    hostile = TensorClass("norm\x1b[2J", "float32", 1, 4)
    show_sizes(dataclasses.replace(sizes, classes=(hostile,), note="a\x1b[2Jb", whole=("x\x1b[2J",)), console)
    assert "\x1b" not in console.file.getvalue()


def test_on_a_page_of_github(sizes, pipe, check_golden):
    console = pipe()
    shown = dataclasses.replace(sizes, fits=True, note="Made from a list.")
    show_sizes_page(shown, console)
    check_golden("sizes-page", console.file.getvalue())


def test_names_of_others_are_no_markup_on_a_page(sizes, pipe):
    console = pipe()
    hostile = TensorClass("a`|<b>\n# b", "float32", 1, 4)
    rule = RuleCount(RECIPE, 1, "a`|<b>", "", "4 bit g64", 0)
    show_sizes_page(dataclasses.replace(sizes, classes=(hostile,), rules=(rule,), note="<b>", fits=False), console)
    said = console.file.getvalue()
    assert "**does not fit**" in said
    assert "| ``a`\\|<b> # b`` |" in said
    assert "\\<b\\>" in said
