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


def test_threads_that_ask_at_once_all_get_the_whole_package():
    assert (
        fresh(
            "import os, pipeline.weights, mlx_lm, threading\n"
            "found, start = [], threading.Barrier(4)\n"
            "def ask():\n"
            "    start.wait()\n"
            "    found.append(mlx_lm.stream_generate.__module__)\n"
            "threads = [threading.Thread(target=ask) for _ in range(4)]\n"
            "[thread.start() for thread in threads], [thread.join() for thread in threads]\n"
            "print(*found, flush=True)\n"
            "os._exit(0)"  # as the program ends: mlx's threads can abort the interpreter's own end
        ).split()
        == ["mlx_lm.generate"] * 4
    )
