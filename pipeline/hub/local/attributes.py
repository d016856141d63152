"""Which files go to large-file storage: the patterns that the Hub writes into every new repository."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

LARGEST_REGULAR = 10_000_000
"""Bytes; the Hub refuses larger files outside large-file storage."""

_PATTERNS = (
    *("*.7z", "*.arrow", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gz", "*.h5", "*.joblib", "*.lfs.*", "*.mlmodel"),
    *("*.model", "*.msgpack", "*.npy", "*.npz", "*.onnx", "*.ot", "*.parquet", "*.pb", "*.pickle", "*.pkl", "*.pt"),
    *("*.pth", "*.rar", "*.safetensors", "saved_model/**/*", "*.tar.*", "*.tar", "*.tflite", "*.tgz", "*.wasm"),
    *("*.xz", "*.zip", "*.zst", "*tfevents*"),
)

# Formats that a model repository does not list, but that the Hub puts into large-file storage on upload.
_BINARY = ("*.gguf", "*.png", "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.pdf", "*.mp3", "*.mp4", "*.wav", "*.flac")

GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _PATTERNS)


def is_large(path: str, size: int) -> bool:
    """Whether a file of `size` bytes goes to large-file storage; an empty one never does."""
    if size == 0:
        return False
    if size > LARGEST_REGULAR or "saved_model" in PurePosixPath(path).parts[:-1]:
        return True
    name = PurePosixPath(path).name
    return any(fnmatchcase(name, pattern) for pattern in (*_PATTERNS, *_BINARY))
