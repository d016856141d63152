"""What earlier runs left of a release, and what another release is held against it by."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import PipelineError, UsageError
from pipeline.evidence import Evidence, Measurement
from pipeline.lock import Lock, LockedBase, LockedRecipe, LockedTarget
from pipeline.manifest import Manifest
from pipeline.release.change import Unknown
from pipeline.stages.happened import change_from, digest, happened, losses_of, side
from pipeline.stages.job import Folders

LOCK = Lock(
    LockedBase("someone/model", "c" * 40, "d" * 64),
    LockedRecipe("mixed", 1, "e" * 64, "error"),
    Manifest(()),
    8,
    8,
    8.0,
    (),
    (),
    {},
    LockedTarget("someone/model-mlx", "v1"),
)
LOSSES = np.array([[2.0, 3.0], [2.5, 2.7]], np.float32)


def evidence(nats):
    values = {"perplexity": math.exp(float(nats.mean(dtype=np.float64))), "standard_error": 2.0, "tokens": 4}
    settings = {"token_ids": "t" * 64, "window": 3}
    return Evidence((Measurement("perplexity", "quantized", "a" * 64, values, settings, {}, {}, ""),))


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path, tmp_path / "work")


@pytest.fixture
def leave(folders):
    """A release that left its lock and evidence in the repository and its losses in the workspace."""

    def leave(name, nats=LOSSES, *, kept=True):
        folder = folders.release(name)
        folder.mkdir(parents=True)
        (folder / "release.lock.json").write_text(LOCK.to_json())
        (folder / "evidence.json").write_text(evidence(nats).to_json())
        if kept:
            path = folders.work(name).path("evidence/losses.npz")
            path.parent.mkdir(parents=True)
            np.savez_compressed(path, base=LOSSES, quantized=nats, token_ids=np.array("t" * 64))

    return leave


def test_lock_evidence_and_losses_are_what_a_release_is_compared_by(folders, leave):
    leave("v1")
    found = side(folders, "v1")
    assert (found.name, found.lock, found.evidence) == ("v1", LOCK, evidence(LOSSES))
    assert np.array_equal(found.losses.nats, LOSSES)


@pytest.mark.parametrize("missing", ["release.lock.json", "evidence.json"])
def test_a_release_that_was_never_made_is_named_with_what_to_do(folders, leave, missing):
    leave("v1")
    (folders.release("v1") / missing).unlink()
    with pytest.raises(UsageError, match=f"releases/v1/{missing} is not there: it is wanted") as raised:
        happened(folders, "v1", "it is wanted")
    assert raised.value.hint == "Run `pipeline release v1 --until render` first."


@pytest.mark.parametrize("spoilt", ["release.lock.json", "evidence.json"])
def test_a_file_that_was_spoilt_is_named_with_its_release(folders, leave, spoilt):
    leave("v1")
    (folders.release("v1") / spoilt).write_text("{}")
    with pytest.raises(PipelineError, match=f"^releases/v1/{spoilt} .*: it has no `"):
        happened(folders, "v1", "it is wanted")
    if spoilt == "evidence.json":
        with pytest.raises(PipelineError, match=r"^releases/v1/evidence\.json does not hold evidence"):
            change_from(folders, "v1", "v2", evidence(LOSSES))


def test_a_change_is_paired_where_both_workspaces_are_here(folders, leave):
    leave("v1")
    leave("v2", LOSSES + np.float32(0.1))
    change = change_from(folders, "v1", "v2", evidence(LOSSES + np.float32(0.1)))
    assert change.paired
    assert change.share == pytest.approx(math.exp(0.1) - 1, rel=1e-4)


def test_without_the_other_workspace_the_evidence_has_to_do(folders, leave):
    leave("v1", kept=False)
    leave("v2", LOSSES + np.float32(0.1))
    assert losses_of(folders, "v1") is None
    change = change_from(folders, "v1", "v2", evidence(LOSSES + np.float32(0.1)))
    assert (change.paired, change.word) == (False, "within error")


def test_a_release_without_evidence_is_held_against_nothing(folders):
    found = change_from(folders, "v1", "v2", evidence(LOSSES))
    assert found == Unknown("releases/v1/evidence.json is not there: run `pipeline release v1` first")


def test_a_perplexity_that_is_missing_is_that_of_one_of_the_two(folders, leave):
    leave("v1")
    assert change_from(folders, "v1", "v2", Evidence()) == Unknown("the perplexity of v2 was not measured")
    (folders.release("v1") / "evidence.json").write_text(Evidence().to_json())
    assert change_from(folders, "v1", "v2", evidence(LOSSES)) == Unknown("the perplexity of v1 was not measured")


def test_the_digest_moves_with_the_evidence_and_with_the_losses(folders, leave):
    assert digest(folders, "v1") == {"evidence": None, "losses": None}
    leave("v1")
    before = digest(folders, "v1")
    path = folders.release("v1") / "evidence.json"
    (measured,) = evidence(LOSSES).measurements
    path.write_text(Evidence((replace(measured, values={**measured.values, "perplexity": 9.0}),)).to_json())
    again = digest(folders, "v1")
    assert (again["evidence"] == before["evidence"], again["losses"] == before["losses"]) == (False, True)
    folders.work("v1").path("evidence/losses.npz").unlink()
    assert digest(folders, "v1") == {**again, "losses": None}
