"""The model card: a pure function of what was asked, what happened, and the templates.

Nothing here reads a clock, the environment or the network, so the same release gives the same bytes. That is also why
the published commit and durations stay out of the card; days are those that the lock and the evidence hold.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pipeline.card import (
    escape,
    figures,
    front_matter,
    lint,
    other_programs,
    plots,
    quality,
    speed,
    standing,
    templates,
    will_it_run,
)
from pipeline.card.changelog import changelog
from pipeline.card.escape import Markdown
from pipeline.card.hub_fields import hub_fields
from pipeline.card.inputs import WEB
from pipeline.card.licenses import license_of
from pipeline.card.models import BASE, OWN, models, sibling_subject
from pipeline.card.templates import template_folder
from pipeline.evidence import Evidence
from pipeline.release.draft import Draft, DraftRule
from pipeline.release.find import recipe_file
from pipeline.release.macs import usable
from pipeline.release.server_command import server_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.card.inputs import Inputs
    from pipeline.card.quality import Quality
    from pipeline.lock import Lock
    from pipeline.release.recipe import Recipe
    from pipeline.release.schema import Release

__all__ = ["render", "template_folder"]

LOCAL_ENDPOINT = "http://127.0.0.1:8600"

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_Rows = list[tuple[object, ...]]
_KL = {
    "KL median": "median",
    "KL p90": "90th percentile",
    "KL p95": "95th percentile",
    "KL p99": "99th percentile",
    "KL max": "largest",
}


def render(inputs: Inputs, template_folder: Path | None = None) -> str:
    """The whole README.md, front matter included; `template_folder` defaults to what the package ships.

    Raises: PipelineError for a template that does not work, naming its line; CardInvalid for front matter that breaks
    the Hub's rules.
    """
    found = quality.read(inputs.evidence)
    fields = hub_fields(inputs, found)
    lint.check(inputs.name, fields, {file.path for file in inputs.lock.model})
    folder = template_folder or templates.shipped_folder()
    body = templates.fill(folder, _values(inputs, found))
    return front_matter.write(fields) + "\n" + _tidy(body)


def _tidy(body: str) -> str:
    """Blank lines that optional parts leave behind, and spaces at line ends, are taken away."""
    lines = "\n".join(line.rstrip(" ") for line in body.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"


def _values(inputs: Inputs, found: Quality) -> Mapping[str, object]:
    """What templates may name. Strings that are not `Markdown` are escaped where they are used."""
    release, recipe, lock = inputs.release, inputs.recipe, inputs.lock
    beside = models(inputs, escape.code(release.base.repo))
    class_headings, class_rows = _classes(lock)
    local = release.hub == "local"
    trust = release.base.trust_remote_code
    server = server_command(release.target.repo, trust_remote_code=trust)
    return {
        "name": inputs.name,
        "released": inputs.released,
        "release": release,
        "recipe": recipe,
        "lock": lock,
        "quality": found,
        "standing": standing.read(beside, _own_evidence(inputs)),
        "other_programs": other_programs.read(beside),
        "speed": speed.read(beside),
        "will": will_it_run.read(lock),
        "fit_limit": _fit_limit(release),
        "plots": plots.shown(plots.plots(inputs)),
        "changelog": changelog(inputs.notes),
        "local": local,
        "endpoint": LOCAL_ENDPOINT,
        "repository": release.target.repo,
        "lm_studio": f"lmstudio://open_from_hf?model={release.target.repo}",
        "question": found.generation.sample.prompt if found.generation else release.evaluate.prompts[0].ask,
        "tokenizer_packages": _tokenizer_packages(lock),
        "server_command": Markdown(" ".join(escape.shell(word) for word in server)),
        "served": found.serving if found.serving and found.serving.command == shlex.join(server) else None,
        "trust_flag": Markdown(" --trust-remote-code" if trust else ""),
        "trust_argument": Markdown(', tokenizer_config={"trust_remote_code": True}' if trust else ""),
        "base_place": _place(local, release.base.repo, release.base.revision),
        "text_place": _text_place(release, local),
        "licence_place": _licence(inputs),
        "measured_on": _days(inputs.evidence),
        "divergence_rows": _divergence_rows(found),
        "weight_rows": _weight_rows(found),
        "class_headings": class_headings,
        "class_rows": class_rows,
        "class_align": "lrlrr" + "l" * (len(class_headings) - 5),
        "pinned_base": bool(release.base.revision.strip("0")),
        "recipe_file": recipe_file(lock.recipe.name),
        "recipe_text": _recipe_text(recipe),
        "pinned": [f"{tool}=={lock.tools[tool]}" for tool in ("mlx", "mlx-lm") if " " not in lock.tools.get(tool, " ")],
        "file_rows": [
            (escape.code(file.path), figures.byte_size(file.size), escape.code(file.sha256)) for file in lock.model
        ],
    }


def _fit_limit(release: Release) -> str:
    """The limit in MB that has to be set to use as much of the memory as `fit` counts on; "" where macOS grants it."""
    fit = release.fit
    if not fit or not fit.memory or not fit.usable or fit.memory * fit.usable <= usable(fit.memory):
        return ""
    return str(int(fit.memory * fit.usable) >> 20)


def _tokenizer_packages(lock: Lock) -> Markdown:
    """What a tokenizer needs besides mlx-lm, to go behind `pip install mlx-lm`."""
    tiktoken = any(file.path.endswith((".tiktoken", "tiktoken.model")) for file in lock.model)
    return Markdown(" tiktoken" if tiktoken else "")


def _place(local: bool, repository: str, revision: str, file: str = "") -> Markdown:
    """A repository at a commit, as a link unless it is on a local Hub, where no stranger can follow it."""
    short = revision[:12]
    if not revision.strip("0"):
        return Markdown(f"{escape.link(repository, f'{WEB}/{repository}')} at a commit that is still to be named")
    if local:
        inside = f"{escape.code(file)} of " if file else ""
        return Markdown(f"{inside}{escape.code(repository)} at commit {escape.code(short)}")
    path = f"blob/{revision}/{file}" if file else f"tree/{revision}"
    kind = "/datasets" if file else ""
    label = f"{file} of {repository}" if file else repository
    return Markdown(f"{escape.link(label, f'{WEB}{kind}/{repository}/{path}')} at commit {escape.code(short)}")


def _text_place(release: Release, local: bool) -> Markdown:
    text = release.evaluate.text
    if text.on_hub:
        return _place(local, *text.on_hub)
    if text.dataset:
        return Markdown(f"samples of the dataset {escape.code(text.dataset)}")
    return Markdown(f"{escape.code(str(text.path))} of the release repository")


def _licence(inputs: Inputs) -> Markdown:
    found = license_of(inputs)
    name = escape.code(found.name or found.id)
    return Markdown(f"{name}, whose text is in {escape.link(found.link, found.link)}") if found.link else name


def _own_evidence(inputs: Inputs) -> Mapping[str, Evidence]:
    """By subject, what was measured for the release that a model is of."""
    siblings = {sibling_subject(sibling.name): sibling.evidence for sibling in inputs.siblings}
    return {
        subject: Evidence(tuple(one for one in evidence.measurements if not one.imported))
        for subject, evidence in {OWN: inputs.evidence, **siblings}.items()
    }


def _days(evidence: Evidence) -> str:
    """When the released model was measured here: a day, or the first and the last one."""
    own = [one.measured_at[:10] for one in evidence.measurements if one.subject in {OWN, BASE} and not one.imported]
    days = sorted({day for day in own if _DAY.fullmatch(day)})
    if len(days) > 1:
        return f"from {days[0]} to {days[-1]}"
    return f"on {days[0]}" if days else ""


def _recipe_text(recipe: Recipe) -> str:
    """The recipe as one file, with the rules of all that it extends."""
    rules = tuple(
        DraftRule(_pattern(rule.match), rule.layers, rule.decision, escape.visible(rule.why)) for rule in recipe.rules
    )
    why = escape.visible(recipe.otherwise_why)
    return Draft(escape.visible(recipe.summary), rules, recipe.otherwise, why).text().rstrip("\n")


def _divergence_rows(found: Quality) -> _Rows:
    far = found.divergence
    if not far:
        return []
    mean: _Rows = [("mean", figures.with_error(*far.kl_mean))] if far.kl_mean else []
    return [*mean, *((_KL[name], figures.significant(value)) for name, value in far.tail.items())]


def _weight_rows(found: Quality) -> _Rows:
    errors = found.weight_errors
    if not errors:
        return []
    rows: _Rows = [(escape.code(name), figures.share(error)) for name, error in errors.classes.items()]
    total = [Markdown("**all**"), Markdown(f"**{figures.share(errors.all)}**")] if errors.all is not None else []
    return [*rows, *([tuple(total)] if total else [])]


def _pattern(match: str) -> str:
    """As it is, blanks included, unless it is no single line of a sensible length."""
    return match if match.isprintable() and len(match) <= escape.LONGEST else escape.visible(match)


def _classes(lock: Lock) -> tuple[tuple[str, ...], Sequence[tuple[object, ...]]]:
    """Headings and rows, largest first, and the sum at the end; which rule decided, where the lock knows that."""
    largest = sorted(lock.classes, key=lambda kind: (-kind.bytes, kind.name, kind.precision))
    ruled = any(kind.rules for kind in largest)
    rows: _Rows = [
        (
            escape.code(kind.name),
            figures.grouped(kind.parameters),
            kind.precision,
            figures.byte_size(kind.bytes),
            figures.percent(kind.bytes / lock.bytes),
            *([", ".join(map(str, kind.rules))] if ruled else []),
        )
        for kind in largest
    ]
    average = f"{figures.bits(lock.bits_per_weight)} bits per weight"
    total = (figures.grouped(lock.parameters), average, figures.byte_size(lock.bytes), figures.percent(1))
    headings = ("Tensors", "Parameters", "Stored as", "Size", "Share", *(["Rule"] if ruled else []))
    last = tuple(Markdown(f"**{text}**") for text in ("all", *total))
    return headings, [*rows, (*last, *([""] if ruled else []))]
