"""What a base model's card says of itself: the few facts of it that a release may take over."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from pipeline.metadata.untrusted import texts
from pipeline.metadata.values import (
    OTHER,
    is_address,
    is_file,
    is_language,
    is_license,
    is_license_name,
    is_pipeline_tag,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.manifest import Json

    _Check: TypeAlias = Callable[[object], bool]

FILE = "README.md"
_MOST_LANGUAGES = 400
_MOST_REMARKS = 20


@dataclass(frozen=True)
class BaseCard:
    """Facts that keep the Hub's rules, each "" or empty where the card does not state it.

    license_name, license_link: of a license that is "other"; the link is a file of the base's repository or an address.
    dropped: what the card states against the rules, a sentence each, in words of ours.
    """

    license: str = ""
    license_name: str = ""
    license_link: str = ""
    language: tuple[str, ...] = ()
    pipeline_tag: str = ""
    dropped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, row: object) -> BaseCard:
        """The card that `to_json` wrote, held to the same rules again; TypeError or ValueError for something else."""
        if not isinstance(row, dict):
            raise TypeError("`card` is no JSON object")
        if unknown := sorted(row.keys() - asdict(cls()).keys()):
            raise ValueError(f"`card` has `{'`, `'.join(unknown)}`, which this pipeline does not know")
        said = row.get("dropped", [])
        if not isinstance(said, list) or not all(isinstance(one, str) and one.isprintable() for one in said):
            raise ValueError("`card.dropped` is no list of sentences")
        card = _kept({key: value for key, value in row.items() if key != "dropped"}, ())
        if card.dropped:
            raise ValueError("; ".join(card.dropped))
        return replace(card, dropped=tuple(said))


def read_card(content: str) -> BaseCard:
    """The facts of a README.md, of which the first `untrusted.LONGEST` characters count."""
    return _kept(*texts(content, _KEYS))


_ONE: Mapping[str, tuple[_Check, str]] = {
    "license": (is_license, "an identifier that the Hub knows licenses by"),
    "license_name": (is_license_name, "a short name in lower case"),
    "license_link": (lambda value: is_file(value) or is_address(value), "a file of its repository or a web address"),
    "pipeline_tag": (is_pipeline_tag, "a task that the Hub knows"),
}
_KEYS = (*_ONE, "language")


def _kept(said: Mapping[str, object], dropped: tuple[str, ...]) -> BaseCard:
    """What of it keeps the rules."""
    facts = dict.fromkeys(_ONE, "")
    remarks = list(dropped)
    for key, (holds, kind) in _ONE.items():
        value = said.get(key, "")
        if isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
        if isinstance(value, str) and key == "license_link":
            value = value.removeprefix("./")
        if isinstance(value, list | tuple) and len(value) > 1:
            remarks.append(f"`{key}` states {len(value)} values, of which none can be chosen")
        elif isinstance(value, str) and (not value or holds(value)):
            facts[key] = value
        else:
            remarks.append(f"`{key}` is not {kind}")
    languages = _languages(said.get("language", ()), remarks)
    if facts["license_name"] and not facts["license"]:
        remarks.append("`license_name` stands without `license: other`")
    own = facts["license"] == OTHER
    return BaseCard(
        license=facts["license"],
        license_name=facts["license_name"] if own else "",
        license_link=facts["license_link"] if own else "",
        language=languages,
        pipeline_tag=facts["pipeline_tag"],
        dropped=tuple(remarks[:_MOST_REMARKS]),
    )


def _languages(value: object, remarks: list[str]) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [None]
    known = dict.fromkeys(one for one in values if is_language(one))
    if wrong := sum(not is_language(one) for one in values if one != ""):
        remarks.append(f"`language`: {wrong} of {len(values)} values are no codes of ISO 639 that the Hub knows")
    if len(known) > _MOST_LANGUAGES:
        remarks.append(f"`language` states {len(known)} languages, of which the first {_MOST_LANGUAGES} are taken")
    return tuple(known)[:_MOST_LANGUAGES]
