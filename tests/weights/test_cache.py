"""The cache that a plan tells of is the one that a model has after reading so many tokens."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache, make_prompt_cache
from mlx_lm.utils import _get_classes

from pipeline.weights.cache import measure_cache

_SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "vocab_size": 32,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
_MLA = {
    **_EXPERTS,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "kv_lora_rank": 32,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 32,
    "qk_nope_head_dim": 32,
    "v_head_dim": 32,
}
MODELS = {
    "llama": {"model_type": "llama"},
    "sliding windows": {
        "model_type": "llama",
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": 100,
    },
    "wide windows": {
        "model_type": "llama",
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": 300,
    },
    "chunked windows": {
        "model_type": "llama4",
        "text_config": {
            **_SMALL,
            **_EXPERTS,
            "num_experts_per_tok": 1,
            "model_type": "llama4_text",
            "attention_bias": False,
            "attention_chunk_size": 200,
            "interleave_moe_layer_step": 2,
            "intermediate_size_mlp": 64,
            "num_local_experts": 2,
            "rope_scaling": None,
            "rope_theta": 1e4,
            "use_qk_norm": False,
        },
    },
    "latent attention": {"model_type": "deepseek_v3", **_MLA},
    "latent attention in a text_config": {"model_type": "kimi_k25", "text_config": {**_SMALL, **_MLA}},
    "two caches a layer": {
        "model_type": "deepseek_v32",
        **_MLA,
        "index_n_heads": 2,
        "index_head_dim": 64,
        "index_topk": 16,
    },
    "hybrid": {
        "model_type": "qwen3_next",
        **_EXPERTS,
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "linear_conv_kernel_dim": 3,
        "num_experts": 4,
        "decoder_sparse_step": 1,
        "shared_expert_intermediate_size": 32,
        "mlp_only_layers": [],
        "rope_theta": 1e4,
        "partial_rotary_factor": 0.5,
        "norm_topk_prob": True,
        "full_attention_interval": 2,
    },
    "state space": {
        "model_type": "mamba",
        "use_bias": False,
        "use_conv_bias": True,
        "conv_kernel": 4,
        "state_size": 16,
        "time_step_rank": 8,
    },
}


def model_of(config, dtype=mx.bfloat16):
    model_class, arguments = _get_classes(config)
    model = model_class(arguments.from_dict(dict(config)))
    model.set_dtype(dtype)
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_the_cache_is_as_large_as_a_real_one(name):
    model = model_of({**_SMALL, **MODELS[name]}, mx.float32)  # mlx multiplies experts in no other dtype on a CPU
    measured = measure_cache(model)
    for tokens in (1, 120, 310, 600):
        cache = make_prompt_cache(model)
        # As mlx-lm's own generation does: the prompt in one piece, then token by token.
        mx.eval(model(mx.zeros((1, max(1, tokens - 1)), dtype=mx.int32), cache=cache))
        if tokens > 1:
            mx.eval(model(mx.zeros((1, 1), dtype=mx.int32), cache=cache))
        real = sum(each.nbytes for each in cache)
        if "windows" in name and tokens < 600:  # how much room is left in a window depends on where the prompt ends
            assert 0.5 * measured.nbytes(tokens) < real <= measured.nbytes(tokens)
        else:
            assert measured.nbytes(tokens) == real


def test_a_window_stops_growing_and_a_state_never_grows():
    windows = measure_cache(model_of({**_SMALL, **MODELS["sliding windows"]}))
    everything = measure_cache(model_of({**_SMALL, **MODELS["llama"]}))
    assert windows.nbytes(102_400) == (everything.nbytes(102_400) + everything.nbytes(102_400) * 100 // 102_400) / 2
    states = measure_cache(model_of({**_SMALL, **MODELS["state space"]}))
    assert states.nbytes(1) == states.nbytes(100_000) == states.fixed


def test_nothing_is_computed():
    """The weights would be 100 GB."""
    huge = {"hidden_size": 8192, "intermediate_size": 100_000, "num_hidden_layers": 20, "head_dim": 4096}
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    assert measure_cache(model_of({**_SMALL, "model_type": "llama", **huge})).nbytes(256) == 20 * 2 * 256 * 4096 * 2
    assert mx.get_peak_memory() - before < 1 << 20


def test_a_model_that_looks_at_values_is_not_evaluated(monkeypatch):
    from mlx_lm.models import llama

    called = llama.Model.__call__

    def looks(self, inputs, cache=None):
        out = called(self, inputs, cache=cache)
        return out * 2 if out.sum().item() else out

    monkeypatch.setattr(llama.Model, "__call__", looks)
    before = mx.get_peak_memory()
    assert measure_cache(model_of({**_SMALL, "model_type": "llama"})) is None
    assert mx.get_peak_memory() == before


def test_a_cache_of_an_unknown_kind_is_not_guessed(monkeypatch):
    from mlx_lm.models import llama

    class Own(KVCache):
        """Keeps who knows what beside the keys."""

    monkeypatch.setattr(llama.Model, "make_cache", lambda self: [Own() for _ in self.layers], raising=False)
    assert measure_cache(model_of({**_SMALL, "model_type": "llama"})) is None
