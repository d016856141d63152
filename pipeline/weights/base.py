"""The base model as the plan sees it: every file and the header of every tensor at one commit, no weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipeline.errors import BaseModelError
from pipeline.manifest import Manifest
from pipeline.metadata import base_card
from pipeline.metadata.base_card import BaseCard, read_card
from pipeline.metadata.untrusted import LONGEST
from pipeline.weights.config import decode, tag_floats
from pipeline.weights.families import BaseTensor, fold, unfold
from pipeline.weights.headers import parse_header

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.manifest import Json
    from pipeline.weights.headers import Read, Tensor

    ReadFile: TypeAlias = Callable[[str, int, int], bytes]

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
_GENERATION = "generation_config.json"
_MODELOPT = "hf_quant_config.json"
_DAMAGED = "Try again later; if it stays so, the file is damaged on the Hub: tell its publisher."
_LARGEST = 200_000_000  # bytes; the index of Kimi K2.5 has 25 million
_WEIGHTS = re.compile(r"model[^/]*\.safetensors")


@dataclass(frozen=True)
class BaseModel:
    """A base model at one commit.

    config: config.json with the end-of-sequence ids of generation_config.json, as mlx-lm reads the two.
    tensors: by name, in sorted order.
    note: how far this can be trusted where it was not read from the repository itself; "" where it was.
    card: what its README.md says of it; None where nobody has looked.
    """

    repo: str
    revision: str
    files: Manifest
    config: Mapping[str, Json]
    tensors: Mapping[str, BaseTensor]
    note: str = ""
    card: BaseCard | None = None

    def to_json(self) -> str:
        """One family of tensors a line, so that 200,000 of them stay reviewable."""
        files = weight_files(self.files)
        lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in fold(self.tensors, files))
        listed = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in self.files.to_json())
        config = json.dumps(tag_floats(dict(self.config)), indent=2, ensure_ascii=False).replace("\n", "\n ")
        note = f' "note": {json.dumps(self.note, ensure_ascii=False)},\n' if self.note else ""
        said = json.dumps(self.card.to_json(), ensure_ascii=False) if self.card else ""
        card = f' "card": {said},\n' if said else ""
        return (
            f'{{\n "repo": {json.dumps(self.repo)},\n "revision": {json.dumps(self.revision)},\n{note}{card}'
            f' "files": [\n  {listed}\n ],\n "config": {config},\n "tensors": [\n  {lines}\n ]\n}}\n'
        )

    @classmethod
    def from_json(cls, text: str) -> BaseModel:
        try:
            content = json.loads(text)
            files = Manifest.from_json(content["files"])
            return cls(
                content["repo"],
                content["revision"],
                files,
                decode("config", json.dumps(content["config"])),
                unfold(content["tensors"], weight_files(files)),
                str(content.get("note", "")),
                BaseCard.from_json(content["card"]) if "card" in content else None,
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BaseModelError(
                f"the stored description of the base model is damaged: {error!r}",
                hint="Delete base.json; the next plan reads the headers again.",
            ) from error


def describes(text: str, repo: str, revision: str) -> bool:
    """Whether `to_json` wrote this text about that base, without reading all of it."""
    return text.startswith(f'{{\n "repo": {json.dumps(repo)},\n "revision": {json.dumps(revision)},\n')


def weight_files(files: Manifest) -> list[str]:
    """The files that mlx-lm loads weights from, sorted; others, such as consolidated.safetensors, are copies."""
    return [file.path for file in files if _WEIGHTS.fullmatch(file.path)]


def read_base(repo: str, revision: str, files: Manifest, read: ReadFile) -> BaseModel:
    """Describe a base model by `read(path, start, length)`: headers and small JSON files, a few MB of 64 shards."""
    tensors: dict[str, BaseTensor] = {}
    weights = weight_files(files)
    if not weights:
        raise BaseModelError(
            f"{repo} holds no model*.safetensors", hint="Only safetensors weights can be quantized; convert it first."
        )
    for path in weights:

        def read_part(start: int, length: int, path: str = path) -> bytes:
            return read(path, start, length)

        for name, tensor in _header(path, files[path].size, read_part).items():
            if name in tensors:
                raise BaseModelError(f"{name} is in {tensors[name].file} and again in {path}")
            tensors[name] = BaseTensor(tensor.dtype, tensor.shape, path)
    _check_index(files, tensors, read)
    config, card = _read_config(repo, files, read), card_of(files, read)
    return BaseModel(repo, revision, files, config, dict(sorted(tensors.items())), card=card)


def _header(path: str, size: int, read: Read) -> dict[str, Tensor]:
    """The header of a file on a Hub, read again before it is called broken: parts have no digest to be checked by."""
    try:
        return parse_header(path, size, read)
    except BaseModelError:
        return parse_header(path, size, read)


def card_of(files: Manifest, read: ReadFile) -> BaseCard:
    """What the base's card says of it, from no more of the file than front matter may have."""
    size = min(files[base_card.FILE].size, LONGEST) if base_card.FILE in files else 0
    return read_card(read(base_card.FILE, 0, size).decode("utf-8", "replace")) if size else BaseCard()


def _check_index(files: Manifest, tensors: Mapping[str, BaseTensor], read: ReadFile) -> None:
    if INDEX not in files:
        return
    index = _read_json(INDEX, files, read)
    named = index.get("weight_map")
    if not isinstance(named, dict):
        raise BaseModelError(f"{INDEX} has no weight_map")
    for name, file in named.items():
        if name not in tensors:
            where = "which is not in the repository" if file not in files else "which does not hold it"
            raise BaseModelError(f"{INDEX} places {name} in {file}, {where}", hint="The base model is incomplete.")
        if tensors[name].file != file:
            raise BaseModelError(f"{INDEX} places {name} in {file}, but it is in {tensors[name].file}")


def _read_config(repo: str, files: Manifest, read: ReadFile) -> dict[str, Json]:
    if CONFIG not in files:
        raise BaseModelError(f"{repo} has no {CONFIG}", hint="mlx-lm finds the architecture there.")
    config = _read_json(CONFIG, files, read)
    if _GENERATION in files:
        content = _read_whole(_GENERATION, files, read)
        try:
            generation = decode(_GENERATION, content)
        except BaseModelError:  # as mlx-lm: without it the ids of config.json hold
            generation = {}
        if generation.get("eos_token_id"):
            config["eos_token_id"] = generation["eos_token_id"]
    if _MODELOPT in files and "quantization_config" not in config:
        config["quantization_config"] = _read_json(_MODELOPT, files, read)
    return config


def _read_json(path: str, files: Manifest, read: ReadFile) -> dict[str, Json]:
    return decode(path, _read_whole(path, files, read))


def _read_whole(path: str, files: Manifest, read: ReadFile) -> bytes:
    if files[path].size > _LARGEST:
        raise BaseModelError(f"{path} has {files[path].size} bytes, and no such file needs more than {_LARGEST}")
    content = read(path, 0, files[path].size)
    if not files[path].can_be(content):
        content = read(path, 0, files[path].size)
    if not files[path].can_be(content):
        raise BaseModelError(f"{path} arrived twice with another digest than the Hub has for it", hint=_DAMAGED)
    return content
