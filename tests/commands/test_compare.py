"""`pipeline compare A B` as a person runs it."""

from __future__ import annotations

import json
import re

from pipeline.evidence import Evidence, Measurement
from pipeline.lock import Lock, LockedBase, LockedRecipe, LockedTarget, TensorClass
from pipeline.manifest import Manifest

LOCK = Lock(
    LockedBase("someone/model", "c" * 40, "d" * 64),
    LockedRecipe("mixed", 1, "e" * 64, "error"),
    Manifest(()),
    800,
    450,
    4.5,
    (TensorClass("mlp.up_proj", 800, "4 bit g64", 450),),
    (),
    {},
    LockedTarget("someone/model-mlx", "v1"),
)


def test_two_releases_are_compared_offline_for_people_and_for_programs(repository):
    for name, perplexity in (("demo", 12.5), ("demo-refused", 97.0)):
        values = {"perplexity": perplexity, "standard_error": 0.4, "tokens": 1022}
        row = Measurement("perplexity", "quantized", "a" * 64, values, {"window": 512}, {}, {}, "2026-01-01T00:00:00Z")
        folder = repository.root / "releases" / name
        (folder / "evidence.json").write_text(Evidence((row,)).to_json())
        (folder / "release.lock.json").write_text(LOCK.to_json())
    code, out = repository.run("compare", "demo", "demo-refused")
    assert code == 0, out
    assert "demo-refused against demo" in out
    assert re.search(r"worse +perplexity +12\.50 ± 0\.40 +97\.00 ± 0\.40 +\+84\.50 ± 0\.57, independent", out)
    code, out = repository.run("compare", "demo", "demo-refused", "--json")
    assert [row["word"] for row in json.loads(out)["figures"]] == ["worse"]
    assert not repository.workspace.exists()


def test_a_release_that_cannot_be_compared_is_named(repository):
    for arguments, told in (
        (("demo", "demo-refussed"), "did you mean `demo-refused`?"),
        (("demo", "demo-refused"), "release.lock.json is not there: releases are compared by it"),
    ):
        code, out = repository.run("compare", *arguments)
        assert (code, told in out, "Traceback" in out) == (2, True, False), out
