from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from safetensors import safe_open
from tokenizers import Tokenizer

from pipeline.errors import BaseModelError
from pipeline.manifest import sha256
from pipeline.rehearsal import catalogue
from pipeline.rehearsal.smollm2 import tensors
from pipeline.rehearsal.tokenizer import special_tokens, write_tokenizer
from pipeline.weights.gguf import Gguf

CHAT = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def tokenizer(smollm2_folder):
    return Tokenizer.from_file(str(smollm2_folder / "tokenizer.json"))


def test_another_process_makes_the_same_bytes(tmp_path, smollm2_folder):
    program = "import pathlib, pipeline.rehearsal.smollm2 as s; s.build_smollm2(pathlib.Path('.'))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert {path.name: sha256(path) for path in tmp_path.iterdir()} == catalogue.CATALOGUE[catalogue.SMOLLM2].files


def test_the_model_answers_through_its_chat_template(smollm2_folder):
    with mx.stream(mx.cpu):
        model, tokenizer = mlx_lm.load(str(smollm2_folder))
        # On the CPU float32 is many times faster than bfloat16.
        model.set_dtype(mx.float32)
        prompt = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True)
        answer = mlx_lm.generate(model, tokenizer, prompt, max_tokens=20)
    assert "Paris" in answer
    assert len(answer.split()) > 3


def test_the_chat_template_is_that_of_the_gguf(smollm2_folder):
    tokenizer = mlx_lm.utils.load_tokenizer(smollm2_folder)
    assert tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.eos_token_ids == {2}


def test_every_token_of_the_gguf_has_its_id(gguf, tokenizer):
    tokens = gguf.metadata["tokenizer.ggml.tokens"]
    assert tokenizer.get_vocab(with_added_tokens=True) == {token: i for i, token in enumerate(tokens)}
    special = special_tokens(gguf)
    assert len(special) == 17
    for i, token in special.items():
        assert tokenizer.encode(f"a{token}b").ids == [tokens.index("a"), i, tokens.index("b")]


@pytest.mark.parametrize(
    "text",
    [
        "In 2024, 1234567890 people (3.14 %) said: it's 0x7F!",
        " leading,\ttabs\n\n  and   trailing white space \n ",
        "naïve café, Ελλάδα, 漢字, \N{PILE OF POO}\u200d, e\u0301",
        "<|im_start|>user\nHi<|im_end|>\n<reponame>",
        "def f(x):\n    return x ** 2  # noqa\r\n",
    ],
)
def test_text_comes_back_from_its_tokens(tokenizer, text):
    encoded = tokenizer.encode(text)
    assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == text
    assert not any(len(token) > 1 and any(c.isdigit() for c in token) for token in encoded.tokens)


def test_digits_are_split_before_white_space_is(tokenizer):
    """llama.cpp's "smollm" differs from GPT-2 in this: the two spaces stay together."""
    assert tokenizer.encode("x  42").tokens == ["x", "ĠĠ", "4", "2"]


def test_mlx_lm_tokenizes_prose_as_the_files_say(smollm2_folder, leads_folder, tokenizer):
    text = (leads_folder / "evaluation.txt").read_text(encoding="utf-8")
    ids = mlx_lm.utils.load_tokenizer(smollm2_folder).encode(text)
    assert ids == tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text
    assert len(ids) > 100 * 512


def test_shards_and_index_agree(smollm2_folder, gguf):
    index = json.loads((smollm2_folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    shapes = {}
    for shard in sorted(smollm2_folder.glob("*.safetensors")):
        with safe_open(shard, "mlx") as file:
            for name in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                assert index["weight_map"][name] == shard.name
                assert file.get_slice(name).get_dtype() == "BF16"
                shapes[name] = tuple(file.get_slice(name).get_shape())
    assert shapes == {tensor.name: tensor.shape for tensor in tensors(gguf)}
    assert len(set(index["weight_map"].values())) == 3
    parameters = sum(int(np.prod(shape)) for shape in shapes.values())
    assert index["metadata"] == {"total_parameters": parameters, "total_size": 2 * parameters}
    assert parameters == 134_515_008


def test_queries_are_in_the_order_of_hugging_face(gguf):
    """llama.cpp stores a head's rows 0, 32, 1, 33, ... for 0, 1, 2, ..., as its converter's `permute` does."""
    (query,) = (tensor for tensor in tensors(gguf) if tensor.name == "model.layers.7.self_attn.q_proj.weight")
    stored = gguf.bfloat16("blk.7.attn_q.weight")
    permuted = query.read().reshape(9, 2, 32, 576).swapaxes(1, 2).reshape(576, 576)
    np.testing.assert_array_equal(permuted, stored)
    assert not np.array_equal(query.read(), stored)


def test_tensors_are_in_the_order_of_the_layers(gguf):
    layers = [int(t.name.split(".")[2]) for t in tensors(gguf) if ".layers." in t.name]
    assert all(a <= b for a, b in pairwise(layers))
    assert set(layers) == set(range(30))


def test_the_card_says_where_the_weights_come_from(smollm2_folder):
    card = (smollm2_folder / "README.md").read_text(encoding="utf-8")
    assert "not the lab's own checkpoint" in card
    assert "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" in card
    assert "license: apache-2.0" in card
    assert "Apache License" in (smollm2_folder / "LICENSE").read_text(encoding="utf-8")


def test_a_gguf_with_an_untied_head_is_refused(gguf):
    untied = Gguf(gguf.metadata, {**gguf.arrays, "output.weight": gguf.arrays["output_norm.weight"]})
    with pytest.raises(BaseModelError, match="tied embeddings"):
        tensors(untied)


def test_another_kind_of_tokenizer_is_refused(gguf, tmp_path):
    other = Gguf({**gguf.metadata, "tokenizer.ggml.pre": "qwen2"}, gguf.arrays)
    with pytest.raises(BaseModelError, match="not SmolLM2's"):
        write_tokenizer(tmp_path, other)
    assert not list(tmp_path.iterdir())
