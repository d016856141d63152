from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import replace

import pytest

from pipeline.errors import BaseModelError
from pipeline.manifest import File, Manifest, describe
from pipeline.metadata.base_card import BaseCard
from pipeline.weights.base import BaseModel, describes, read_base
from pipeline.weights.families import BaseTensor


@pytest.fixture
def folder(tiny, tmp_path):
    """A private copy, so that a test may break it."""
    for path in tiny("llama", files=2).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_the_end_of_sequence_is_that_of_the_generation_config(folder, read_folder):
    from mlx_lm.utils import load_config

    base = read_folder(folder)
    assert base.config == load_config(folder)
    assert base.config["eos_token_id"] == [1, 2]
    (folder / "generation_config.json").write_text("{")
    assert read_folder(folder).config["eos_token_id"] == 1


def test_only_headers_and_small_files_are_read(tiny, read_folder):
    folder = tiny("llama", hidden_size=512, intermediate_size=16384, num_hidden_layers=1)

    amount = 0

    def read(path: str, start: int, length: int) -> bytes:
        nonlocal amount
        amount += length
        return (folder / path).read_bytes()[start : start + length]

    read_base("a/b", "0" * 40, Manifest(tuple(describe(path, path.name) for path in folder.iterdir())), read)
    assert amount < 10_000


def test_infinities_survive(folder, read_folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"limit": {"__float__": "-Infinity"}, "x": ["__float__"]}))
    base = read_folder(folder)
    assert base.config["limit"] == -math.inf
    assert BaseModel.from_json(base.to_json()) == base
    assert "-Infinity}" not in base.to_json()


def test_a_tensor_in_two_files_is_an_error(folder, read_folder):
    (folder / "model-extra.safetensors").write_bytes((folder / "model-00002-of-00002.safetensors").read_bytes())
    with pytest.raises(BaseModelError, match=r"is in model-00002-of-00002\.safetensors and again in model-extra"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (
            {"gone.weight": "model-00001-of-00002.safetensors"},
            "places gone.weight in model-00001-of-00002.safetensors, which",
        ),
        ({"gone.weight": "model-00003-of-00003.safetensors"}, "which is not in the repository"),
        ({"lm_head.weight": "model-00002-of-00002.safetensors"}, "but it is in model-00001-of-00002.safetensors"),
    ],
)
def test_an_index_that_lies_is_an_error(weight_map, message, folder, read_folder):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(BaseModelError, match=message):
        read_folder(folder)


def test_a_repository_without_weights_or_config_is_an_error(folder, read_folder):
    (folder / "config.json").unlink()
    with pytest.raises(BaseModelError, match=r"has no config\.json"):
        read_folder(folder)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(BaseModelError, match=r"holds no model\*\.safetensors"):
        read_folder(folder)


CARD = "---\nlicense: other\nlicense_name: mine\nlanguage: [en, xx]\npipeline_tag: text-generation\n---\n# Tiny\n"


def test_what_the_card_says_is_read_beside_the_headers(folder, read_folder):
    assert read_folder(folder).card == BaseCard(), "there is no card, which is looked at all the same"
    (folder / "README.md").write_text(CARD)
    base = read_folder(folder)
    wrong = "`language`: 1 of 2 values are no codes of ISO 639 that the Hub knows"
    assert base.card == BaseCard("other", "mine", "", ("en",), "text-generation", (wrong,))
    assert BaseModel.from_json(base.to_json()) == base
    assert describes(base.to_json(), base.repo, base.revision)


def test_of_a_huge_card_no_more_than_its_front_matter_is_fetched(folder):
    (folder / "README.md").write_bytes(CARD.encode() + b"x" * 3_000_000)
    asked = []

    def read(path, start, length):
        asked.append((path, start, length))
        return (folder / path).read_bytes()[start : start + length]

    files = Manifest(tuple(describe(path, path.name) for path in folder.iterdir()))
    assert read_base("a/b", "0" * 40, files, read).card.license_name == "mine"
    assert [one for one in asked if one[0] == "README.md"] == [("README.md", 0, 65536)]


@pytest.mark.parametrize(("broken", "reads"), [("config.json", 2), ("model-00001-of-00002.safetensors", 4)])
def test_what_arrives_with_a_flipped_bit_is_read_again_and_an_error_the_second_time(folder, broken, reads):
    asked, bad = [], 1

    def read(path, start, length):
        content = bytearray((folder / path).read_bytes()[start : start + length])
        asked.append(path)
        if path == broken and asked.count(path) <= bad:
            content[0] ^= 64
        return bytes(content)

    files = Manifest(tuple(describe(path, path.name) for path in folder.iterdir()))
    read_base("a/b", "0" * 40, files, read)
    assert asked.count(broken) == reads
    asked, bad = [], 9
    with pytest.raises(BaseModelError, match=broken):
        read_base("a/b", "0" * 40, files, read)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_small_file_that_is_damaged_or_far_too_large_is_never_passed_over(folder, name):
    files = Manifest(tuple(describe(path, path.name) for path in folder.iterdir()))

    def read(path, start, length):
        content = (folder / path).read_bytes()[start : start + length]
        return content.replace(b"1", b"3") if path == name else content

    with pytest.raises(BaseModelError, match=f"^{name} arrived twice with another digest"):
        read_base("a/b", "0" * 40, files, read)
    huge = Manifest(tuple(replace(file, size=10**11) if file.path == name else file for file in files))
    with pytest.raises(BaseModelError, match=f"^{name} has 100000000000 bytes"):
        read_base(
            "a/b", "0" * 40, huge, lambda path, start, length: (folder / path).read_bytes()[start : start + length]
        )


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"---\n\xff: \xff\n---\n", b"---\nlicense: mit"])
def test_a_card_that_is_no_text_states_nothing(content, folder, read_folder):
    (folder / "README.md").write_bytes(content)
    assert replace(read_folder(folder).card, dropped=()) == BaseCard()


def test_an_older_description_knows_no_card(folder, read_folder):
    content = json.loads(read_folder(folder).to_json())
    del content["card"]
    older = BaseModel.from_json(json.dumps(content))
    assert older.card is None
    assert '"card"' not in older.to_json()


def test_a_description_survives_json(tiny, read_folder):
    base = read_folder(tiny("qwen3_moe", files=3))
    again = BaseModel.from_json(base.to_json())
    assert again == base
    assert again.to_json() == base.to_json()
    assert list(again.tensors) == list(base.tensors)


def test_a_damaged_description_is_refused(tiny, read_folder):
    content = json.loads(read_folder(tiny("llama")).to_json())
    for break_it in (
        lambda table: table.pop("tensors"),
        lambda table: table["tensors"][0].update({"in": ["9: 0"]}),
        lambda table: table["tensors"][0].update({"shape": 3}),
        lambda table: table.update({"config": []}),
    ):
        broken = json.loads(json.dumps(content))
        break_it(broken)
        with pytest.raises(BaseModelError):
            BaseModel.from_json(json.dumps(broken))


def test_two_hundred_thousand_tensors_stay_small_and_quick(tiny, read_folder):
    """As many as Kimi K2.5 has, in as many files."""
    tensors = {}
    files = [f"model-{number:05d}-of-00064.safetensors" for number in range(1, 65)]
    for layer in range(61):
        for part in ("q_a_proj", "q_b_proj", "kv_a_proj", "kv_b_proj", "o_proj"):
            name = f"language_model.model.layers.{layer}.self_attn.{part}.weight"
            tensors[name] = BaseTensor("BF16", (64, len(part)), files[layer])
        for expert in range(384):
            for projection in ("gate_proj", "up_proj", "down_proj"):
                for part, shape in (("packed", (7168, 256)), ("scale", (7168, 64)), ("shape", (2,))):
                    name = f"language_model.model.layers.{layer}.mlp.experts.{expert}.{projection}.weight_{part}"
                    tensors[name] = BaseTensor("I32", shape, files[layer])
    base = dataclasses.replace(
        read_folder(tiny("llama")),
        files=Manifest(tuple(File(file, 1) for file in files)),
        tensors=dict(sorted(tensors.items())),
    )
    text = base.to_json()
    started = time.perf_counter()
    again = BaseModel.from_json(text)
    seconds = time.perf_counter() - started
    assert len(again.tensors) > 210_000
    assert again == base
    assert len(text) < 60_000
    assert seconds < 4  # half a second on an idle core
