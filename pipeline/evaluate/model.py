"""What this room asks of an mlx-lm model and of its tokenizer, whose own classes are untyped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import mlx.core as mx
from mlx.utils import tree_flatten

if TYPE_CHECKING:
    from collections.abc import Sequence


class Model(Protocol):
    def __call__(self, inputs: mx.array) -> mx.array: ...

    def children(self) -> dict[str, Any]: ...

    def leaf_modules(self) -> dict[str, Any]: ...

    def update_modules(self, modules: dict[str, Any]) -> Model: ...

    def parameters(self) -> dict[str, Any]: ...

    def modules(self) -> list[dict[str, Any]]: ...

    def set_dtype(self, dtype: mx.Dtype) -> None:
        """Cast what is a float; packed weights stay as they are."""


class Tokenizer(Protocol):
    """An mlx-lm `TokenizerWrapper`: a transformers tokenizer that knows its chat template and stop tokens."""

    has_chat_template: bool
    chat_template: str | dict[str, str] | None
    has_thinking: bool
    has_tool_calling: bool
    think_start_tokens: Sequence[int] | None
    think_end_tokens: Sequence[int] | None
    think_end: str | None
    eos_token_ids: set[int]
    all_special_ids: Sequence[int]

    def __len__(self) -> int: ...

    def encode(self, text: str, *, verbose: bool, add_special_tokens: bool = True) -> list[int]: ...

    def apply_chat_template(self, messages: list[dict[str, Any]], **options: object) -> list[int] | str:
        """Token ids, or the text that they are made of where `tokenize` is false."""

    def convert_ids_to_tokens(self, ids: int) -> str: ...


class Layer(Protocol):
    """A module of a model."""

    def parameters(self) -> dict[str, Any]: ...

    def modules(self) -> list[dict[str, Any]]: ...

    def update(self, parameters: dict[str, Any]) -> object: ...


def arrays(module: Model | Layer) -> list[mx.array]:
    """Every parameter."""
    return [array for _, array in cast("list[tuple[str, mx.array]]", tree_flatten(module.parameters()))]


def held(module: Model | Layer) -> list[mx.array]:
    """Every array that it keeps."""
    return [*arrays(module), *hidden_arrays(module)]


def hidden_arrays(model: Model | Layer) -> list[mx.array]:
    """What modules keep beside their parameters, such as the frequencies of a rotary embedding."""
    values = (value for module in model.modules() for key, value in module.items() if key.startswith("_"))
    return [value for value in values if isinstance(value, mx.array)]
