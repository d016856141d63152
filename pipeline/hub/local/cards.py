"""The Hub's check of a model card, as far as it is publicly known, and what it tells of a card's front matter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.hub.local.access import json_body, text
from pipeline.metadata.hub_rules import doubtful, refused
from pipeline.metadata.untrusted import FRONT_MATTER

if TYPE_CHECKING:
    from starlette.requests import Request

    from pipeline.manifest import Json


async def validate(request: Request) -> JSONResponse:
    """Errors make it a 400, which the client turns into a ValueError; warnings alone do not."""
    errors, warnings = problems(text(await json_body(request), "content"))
    answer = {
        name: [{"message": each} for each in found] for name, found in (("errors", errors), ("warnings", warnings))
    }
    return JSONResponse(answer, status_code=400 if errors else 200)


def problems(card: str) -> tuple[list[str], list[str]]:
    """What is wrong with a card, and what is only worth a warning."""
    found = FRONT_MATTER.match(card)
    if found is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.safe_load(found.group(1))
    except (yaml.YAMLError, RecursionError) as error:
        return [f"Invalid YAML: {error}"], []
    if metadata is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(metadata, dict):
        return ["Repo card metadata block should be a mapping of keys to values"], []
    fields = {str(key): value for key, value in metadata.items()}
    return [str(finding) for finding in refused(fields)], [str(finding) for finding in doubtful(fields)]


def fields(card: str) -> dict[str, Json]:
    """The front matter as the Hub answers it, dates as texts; nothing where it is none that JSON could hold.

    One with aliases counts as none: a few lines of them can stand for more than there is memory.
    """
    found = FRONT_MATTER.match(card)
    block = found.group(1) if found else ""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(block)):
            return {}
        metadata = yaml.safe_load(block)
        said = json.loads(json.dumps(metadata, default=str, skipkeys=True), parse_constant=str)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


routes = [Route("/api/validate-yaml", validate, methods=["POST"])]
