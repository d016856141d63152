"""Per-token losses of two releases: paired by token, with the error of windows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.evidence import Measurement
from pipeline.release.losses import Losses, paired, read

WINDOWS, TOKENS = 40, 63


@pytest.fixture
def random():
    return np.random.default_rng(4)


def losses(nats, token_ids="t" * 64):
    return Losses(token_ids, np.asarray(nats, np.float32))


def perplexity(value, token_ids="t" * 64):
    return Measurement("perplexity", "quantized", "a" * 64, {"perplexity": value}, {"token_ids": token_ids}, {}, {}, "")


def test_the_difference_is_that_of_the_means_and_its_error_that_of_windows(random):
    before = random.gamma(2, 1.5, (WINDOWS, TOKENS))
    by_window = random.normal(0, 0.2, (WINDOWS, 1))
    after = before + 0.05 + by_window
    mean, error = paired(losses(before), losses(after))
    assert mean == pytest.approx(0.05 + by_window.mean(), abs=1e-6)
    assert error == pytest.approx(by_window.std(ddof=1) / math.sqrt(WINDOWS), rel=1e-5)


def test_tokens_of_one_window_are_no_independent_samples(random):
    """An error of single tokens would be eight times too small here, and anything would be called a difference."""
    before = random.gamma(2, 1.5, (WINDOWS, TOKENS))
    after = before + random.normal(0, 0.2, (WINDOWS, 1))
    _, error = paired(losses(before), losses(after))
    by_token = (after - before).std(ddof=1) / math.sqrt(WINDOWS * TOKENS)
    assert error > 7 * by_token


def test_the_error_is_as_large_as_the_difference_varies_from_text_to_text(random):
    """Of many texts, the differences vary by what each one's error says."""
    differences, errors = [], []
    for _ in range(400):
        before = random.gamma(2, 1.5, (WINDOWS, TOKENS))
        after = before + 0.05 + random.normal(0, 0.2, (WINDOWS, 1)) + random.normal(0, 0.5, (WINDOWS, TOKENS))
        mean, error = paired(losses(before), losses(after))
        differences.append(mean)
        errors.append(error)
    assert np.std(differences) == pytest.approx(np.mean(errors), rel=0.15)


def test_a_single_window_has_a_difference_without_an_error():
    assert paired(losses([[1.0, 2.0]]), losses([[1.5, 2.5]])) == (0.5, None)


def test_losses_of_other_tokens_are_not_paired():
    assert paired(losses([[1.0]]), losses([[1.0]], "u" * 64)) is None
    assert paired(losses([[1.0]]), losses([[1.0], [2.0]])) is None


def test_losses_are_read_as_they_were_kept(tmp_path):
    path = tmp_path / "losses.npz"
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez_compressed(path, base=rows, quantized=rows + 1, token_ids=np.array("t" * 64))
    found = read(path)
    assert found.token_ids == "t" * 64
    assert np.array_equal(found.nats, rows + 1)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 no zip", b"\x93NUMPY"])
def test_what_is_no_file_of_losses_is_none(content, tmp_path):
    path = tmp_path / "losses.npz"
    if content is not None:
        path.write_bytes(content)
    assert read(path) is None


@pytest.mark.parametrize(
    "arrays", [{"quantized": [[1.0]]}, {"token_ids": "t", "quantized": [1.0]}, {"token_ids": "t", "quantized": [[]]}]
)
def test_losses_of_another_shape_are_none(arrays, tmp_path):
    np.savez(tmp_path / "losses.npz", **{name: np.array(value) for name, value in arrays.items()})
    assert read(tmp_path / "losses.npz") is None


def test_losses_belong_to_the_perplexity_that_they_give():
    kept = losses([[2.0, 3.0]])
    assert kept.belong_to(perplexity(math.exp(2.5)))
    assert not kept.belong_to(perplexity(math.exp(2.501)))
    assert not kept.belong_to(perplexity(math.exp(2.5), "u" * 64))
    assert not kept.belong_to(perplexity(None))
