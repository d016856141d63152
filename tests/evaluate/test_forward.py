from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.errors import BaseModelError
from pipeline.evaluate import forward, perplexity

if TYPE_CHECKING:
    from collections.abc import Callable


def measure(loaded: forward.Loaded, tokens: forward.Tokens) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return perplexity.measure(loaded, tokens, Path(folder), lambda _: None).perplexity


def _change(folder: Path, name: str, **changes: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_it_computes_with_is_said(random_model: Callable[..., Path]) -> None:
    loaded = forward.load(random_model())
    assert (loaded.compute.backend, loaded.compute.dtype) == ("cpu", "float32")
    assert loaded.compute.device


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json"])
def test_a_tokenizer_of_code_is_refused_unless_trusted(
    random_model: Callable[..., Path], copy: Callable[[Path], Path], name: str
) -> None:
    folder = copy(random_model())
    _change(folder, name, auto_map={"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]})
    (folder / "tokenization_own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    with pytest.raises(BaseModelError, match="silently build another tokenizer") as caught:
        forward.load(folder)
    assert "base.trust_remote_code: true" in caught.value.hint
    assert not (folder / "ran").exists()


def test_an_architecture_of_code_runs_only_when_trusted(
    random_model: Callable[..., Path], copy: Callable[[Path], Path]
) -> None:
    folder = copy(random_model())
    _change(folder, "config.json", model_file="own.py")
    (folder / "own.py").write_text(
        f"from mlx_lm.models.llama import Model, ModelArgs\nopen({str(folder / 'ran')!r}, 'w').close()\n"
    )
    with pytest.raises(BaseModelError, match=r"own\.py"):
        forward.load(folder)
    assert not (folder / "ran").exists()
    forward.load(folder, trust_remote_code=True)
    assert (folder / "ran").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "No safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x08" + bytes(40)), "model"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json is not JSON"),
        (lambda folder: _change(folder, "config.json", model_type="unheard_of"), "unheard_of"),
        (lambda folder: _change(folder, "config.json", num_hidden_layers=3), "parameters"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot load"),
    ],
)
def test_a_broken_folder_is_a_clear_failure(
    random_model: Callable[..., Path],
    copy: Callable[[Path], Path],
    spoil: Callable[[Path], object],
    message: str,
) -> None:
    folder = copy(random_model())
    spoil(folder)
    with pytest.raises(BaseModelError, match=message):
        forward.load(folder)


def test_any_thread_may_load_and_any_may_measure(random_model: Callable[..., Path]) -> None:
    folders = [random_model(), random_model(group_size=32, bits=4)]
    tokens = np.random.default_rng(0).integers(0, 256, (3, 20), np.int32)
    loaded: dict[Path, forward.Loaded] = {}
    there: dict[Path, float] = {}

    def work(folder: Path) -> None:
        loaded[folder] = forward.load(folder)
        there[folder] = measure(loaded[folder], tokens)

    for folder in folders:
        thread = threading.Thread(target=work, args=(folder,))
        thread.start()
        thread.join()
    here = {folder: measure(loaded[folder], tokens) for folder in folders}
    assert here == there
    assert len(set(here.values())) == 2


def test_two_threads_at_once_do_not_disturb_each_other(random_model: Callable[..., Path]) -> None:
    tokens = np.random.default_rng(0).integers(0, 256, (4, 40), np.int32)
    loaded = [forward.load(random_model()), forward.load(random_model(group_size=32, bits=4))]
    alone = [measure(each, tokens) for each in loaded]
    together: dict[int, float] = {}

    def work(i: int) -> None:
        together[i] = measure(loaded[i], tokens)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(2)] == alone
