"""Which files of the base come along beside the weights, and the texts that are written new."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.manifest import check_relative, write_atomically
from pipeline.weights.base import CONFIG, INDEX

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest import File, Manifest
    from pipeline.weights.layout import Layout

# Every text that a tokenizer, a chat template or remote code may read, as mlx-lm downloads them, and what a licence
# asks to pass on. Only from the top folder: what lies deeper belongs to other runtimes (onnx, original, assets).
_WANTED = re.compile(
    r"""
    [^/]*\.(json|jsonl|txt|model|tiktoken|jinja|py)
    | (licen[cs]e|notice|copying|third[_-]party|copyright|patents|use_policy|acceptable_use)[^/]*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MADE_NEW = re.compile(r"config\.json|hf_quant_config\.json|.*\.index\.json|readme.*", re.IGNORECASE)


def side_files(files: Manifest) -> tuple[File, ...]:
    """The files of the base that belong to the result unchanged: tokenizer, templates, remote code, licences."""
    return tuple(
        file for file in files if _WANTED.fullmatch(check_relative(file.path)) and not _MADE_NEW.fullmatch(file.path)
    )


def write_texts(layout: Layout, folder: Path) -> tuple[Path, Path]:
    """Write config.json and the index of the shards into `folder`, each by one rename."""
    config, index = folder / CONFIG, folder / INDEX
    write_atomically(config, layout.config)
    write_atomically(index, layout.index)
    return config, index
