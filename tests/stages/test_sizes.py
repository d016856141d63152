"""The sizes of Kimi K2.5, a model of 595 GB, from the description beside the release alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.release.load import load_release
from pipeline.release.recipe import Unquantized
from pipeline.stages.fit import relaxations
from pipeline.stages.job import Folders, open_job
from pipeline.stages.sizes import sizes
from pipeline.weights.layout import layout

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def opened():
    made = {}

    def open_it(name):
        if name not in made:
            no_hub = object()  # a plan that asks anything of it fails
            made[name] = open_job(load_release(ROOT, name), Folders(ROOT, ROOT / "nowhere"), no_hub, keep=False)
        return made[name]

    return open_it


@pytest.mark.parametrize(
    ("name", "gigabytes", "bits_per_weight"),
    [("v2.5", 350.25, 2.730), ("v2.8-v2", 377.26, 2.940), ("v3", 449.31, 3.502), ("lossless", 657.62, 5.126)],
)
def test_kimi_k25_comes_out_at_its_published_size(name, gigabytes, bits_per_weight, opened):
    table = sizes(opened(name)).to_json()
    assert table["parameters"] == 1_026_408_232_448
    assert round(table["bytes"] / 1e9, 2) == gigabytes
    assert round(table["bits_per_weight"], 3) == bits_per_weight
    assert sum(row["bytes"] for row in table["classes"]) == table["bytes"]
    assert sum(row["parameters"] for row in table["classes"]) == table["parameters"]
    headers = sum(shard["bytes"] for shard in table["shards"]) - table["bytes"]
    assert 0 < headers < 1_000_000
    assert all(shard["bytes"] <= 5_000_000_000 for shard in table["shards"])
    assert table["fits"] is (None if name == "lossless" else True)


def test_the_keys_are_those_that_programs_rely_on(opened):
    table = sizes(opened("v2.5")).to_json()
    assert list(table) == [
        "parameters", "bytes", "bits_per_weight", "shards", "classes", "rules", "memory", "fits",
    ]  # fmt: skip
    assert {key: set(table[key][0]) for key in ("shards", "classes", "rules", "memory")} == {
        "shards": {"name", "bytes"},
        "classes": {"name", "parameters", "precision", "bytes"},
        "rules": {"line", "match", "modules"},
        "memory": {"context", "bytes"},
    }


def test_every_rule_is_found_on_its_line(opened):
    lines = (ROOT / "releases/recipes/kimi-k2.5-2.5bit.yaml").read_text().splitlines()
    rules = sizes(opened("v2.5")).to_json()["rules"]
    assert [rule["modules"] for rule in rules] == [1, 1, 366, 180, 3, 30, 150]
    assert all(f"match: '{rule['match']}'" in lines[rule["line"] - 1] for rule in rules)


def test_the_memory_is_that_of_the_weights_and_of_latent_attention(opened):
    """512 values of the latent and 64 of the position, in bfloat16, for each token in each of 61 layers."""
    job = opened("v2.5")
    memory = sizes(job, [1000, 64 * 1024]).memory
    assert [row.context for row in memory] == [1000, 64 * 1024, 128 * 1024]  # the last one is what `fit` asks for
    assert [row.cache for row in memory] == [61 * (512 + 64) * 2 * tokens for tokens in (1024, 65536, 131072)]
    assert all(row.nbytes == job.layout.nbytes + row.cache for row in memory)
    assert [row.context for row in sizes(job).memory] == [4096, 32768, 131072, 262144]


def test_what_is_kept_in_float32_is_a_class_of_its_own(opened):
    wide = [row for row in opened("v2.5").layout.classes if row.precision == "float32"]
    assert [(row.name, row.parameters, row.nbytes) for row in wide] == [("mlp.gate", 60 * 384, 60 * 384 * 4)]


def test_a_shard_of_the_huge_model_needs_few_files_and_the_disk_window_is_theirs(opened):
    job = opened("v2.5")
    assert max(len(job.layout.needs(shard)) for shard in job.layout.shards) <= 3
    disk = sizes(job).disk
    assert disk.base == 595_148_192_736
    assert disk.result == sum(shard.size for shard in job.layout.shards)
    assert 9_000_000_000 < disk.window < 20_000_000_000


def test_modules_that_no_rule_decided_are_counted_beside_the_rules(opened):
    (rest,) = sizes(opened("lossless")).beyond
    assert (rest.match, rest.precision, rest.modules) == ("otherwise", "bfloat16", 731 - 180)
    assert sizes(opened("v2.5")).beyond == ()


def test_a_proposed_step_saves_what_it_says(opened):
    job = opened("v2.8-v2")
    step = next(step for step in relaxations(job.assignment.modules) if step.name == "shared_experts.up_proj")
    lower = {
        path: step.after if ".shared_experts.up_proj" in path else given
        for path, given in job.assignment.precisions.items()
    }
    assert job.layout.nbytes - layout(job.base, lower, 1 << 40).nbytes == step.saves
    narrow = next(step for step in relaxations(job.assignment.modules) if step.name == "self_attn.q_a_proj")
    assert narrow.before == Unquantized("bfloat16")
    lower = {p: narrow.after if ".q_a_proj" in p else given for p, given in job.assignment.precisions.items()}
    assert job.layout.nbytes - layout(job.base, lower, 1 << 40).nbytes == narrow.saves


def test_a_budget_that_is_passed_shows_as_such(opened):
    job = opened("v2.5")
    fit = job.release.fit.model_copy(update={"size": 350_000_000_000})
    release = job.release.model_copy(update={"fit": fit})
    assert sizes(dataclasses.replace(job, asked=dataclasses.replace(job.asked, release=release))).fits is False
