import subprocess
import sys

import mlx_lm.utils
import pytest
from mlx_lm.utils import MODEL_ARCHITECTURE_REMAPPING, MODEL_REMAPPING

from pipeline.weights.mlx_lm_models import model_classes

NAMED = [{"model_type": kind, "architectures": names} for kind, *names in MODEL_ARCHITECTURE_REMAPPING]
CONFIGS = [
    *NAMED,
    *({**config, "architectures": config["architectures"][0]} for config in NAMED),
    *({**config, "architectures": ["Another"]} for config in NAMED),
    *({"model_type": kind} for kind in (*MODEL_REMAPPING, "llama", "kimi_k25", "bailing_hybrid")),
]


def fresh(code: str) -> str:
    """What a Python prints that has imported nothing yet."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def found(find, config):
    try:
        return find(config)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("config", [*CONFIGS, {"model_type": "nothing"}], ids=str)
def test_classes_are_those_that_mlx_lm_finds(config):
    assert found(model_classes, config) == found(mlx_lm.utils._get_classes, config)


def test_weights_are_made_without_tokenizers():
    assert fresh(
        "import sys, pipeline.weights.quantizer, pipeline.weights.layout\n"
        "from pipeline.weights.mlx_lm_models import model_classes\n"
        "print(model_classes({'model_type': 'mistral'})[0].__module__, 'transformers' in sys.modules)"
    ).split() == ["mlx_lm.models.llama", "False"]


def test_mlx_lm_is_whole_for_whoever_asks_it():
    assert fresh(
        "import pipeline.weights, mlx_lm\n"
        "from mlx_lm import server, utils\n"
        "import mlx_lm.models.llama\n"
        "print(mlx_lm.load is utils.load, mlx_lm.generate.__name__, hasattr(mlx_lm, 'nothing'))"
    ).split() == ["True", "generate", "False"]
