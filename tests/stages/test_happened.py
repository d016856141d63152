"""What earlier runs left of a release, and what another release is held against it by."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import PipelineError, UsageError
from pipeline.evidence import Evidence, Measurement
from pipeline.lock import Lock, LockedBase, LockedRecipe, LockedTarget
from pipeline.manifest import Manifest
from pipeline.release.change import Unknown
from pipeline.release.load import load_release
from pipeline.stages.happened import change_from, check_against, digest, happened, losses_of, side
from pipeline.stages.job import Folders, open_job

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


HUB_TEXT = {"repo": "demo/wikipedia-leads", "revision": "d703d42e4509b4f02a7dc67b92a3bd729c0492a1"}
TAKEN = {
    "text": {**HUB_TEXT, "file": "evaluation.txt", "sha256": "b" * 64},
    "window": 512,
    "windows": 16,
    "token_ids": "t" * 64,
    "backend": "metal",
}


@pytest.fixture
def against(repository):
    """The check of the demo, which `demo-refused` with a perplexity of given settings is held against."""

    def against(settings, *, text=None, waivers="", **values):
        if settings is not None:
            values = {"perplexity": 12.5, "standard_error": 0.4, "tokens": 8176, **values}
            row = Measurement("perplexity", "quantized", "a" * 64, values, settings, {}, {}, "")
            (repository.root / "releases/demo-refused/evidence.json").write_text(Evidence((row,)).to_json())
        asked = f"thresholds:\n  against: demo-refused\n  perplexity_increase: 2 errors\n{waivers}"
        path = repository.root / "releases/demo/release.yaml"
        path.write_text(path.read_text().partition("thresholds:")[0] + asked)
        if text:
            repository.edit("demo", path.read_text().partition("  text:\n")[2].partition("    license:")[0], text)
        folders = Folders(repository.root, repository.workspace)
        check_against(open_job(load_release(repository.root, "demo"), folders, object(), keep=False))

    return against


def test_what_can_be_compared_as_far_as_anybody_knows_is_not_refused(against):
    against(TAKEN)


@pytest.mark.parametrize(
    ("taken", "why"),
    [
        (None, "releases/demo-refused/evidence.json is not there: run `pipeline release demo-refused` first"),
        ({**TAKEN, "windows": 2}, "not comparable: windows 16 against 2"),
        ({**TAKEN, "harness": "llama.cpp"}, "not comparable: harness pipeline against llama.cpp"),
        ({**TAKEN, "text": {**TAKEN["text"], "file": "other.txt"}}, "text.file evaluation.txt against other.txt"),
        ({**TAKEN, "text": {"path": "evaluation.txt"}}, "not comparable: text.file evaluation.txt against unknown"),
        ({**TAKEN, "text": "wikitext"}, "not comparable: text {'repo'"),
    ],
)
def test_a_release_that_can_be_seen_to_say_nothing_is_refused_before_anything_is_done(against, taken, why):
    with pytest.raises(UsageError, match=r"^perplexity cannot be held against demo-refused, as releases/demo/") as said:
        against(taken)
    assert why in str(said.value)
    assert said.value.hint


def test_a_figure_that_is_none_is_refused_and_a_waiver_of_it_is_heard(against):
    with pytest.raises(PipelineError, match=r"values\.perplexity` should be a valid number"):
        against(TAKEN, perplexity=None)
    against(None, waivers="waivers: [{threshold: perplexity_increase, why: The other one is lost.}]\n")


def test_a_text_of_ones_own_is_known_by_what_it_says(against, repository):
    (repository.root / "prose.txt").write_bytes(b"Once upon a time.\r\n")
    own = {"path": "prose.txt", "sha256": hashlib.sha256(b"Once upon a time.\n").hexdigest()}
    against({**TAKEN, "text": own}, text="    path: prose.txt\n")
    (repository.root / "prose.txt").write_text("Never upon a time.\n")
    with pytest.raises(UsageError, match=r"not comparable: text\.sha256 "):
        against(None, waivers="")


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
