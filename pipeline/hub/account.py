"""Whether an account may publish to a new repository, and whether it pays, by what the Hub says of its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import HubRefused
from pipeline.hub.said import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.hub.protocol import Repository

# A role that is not known is no reason to stop: the Hub decides when it is asked to create the repository.
_READS_ONLY = {"read"}


def check_may_create(repository: Repository, account: Mapping[str, Any]) -> None:
    """account: the Hub's answer to whoami. Raises: HubRefused, when it says that this token may not."""
    name = one_line(account.get("name", ""))
    role = account.get("auth", {}).get("accessToken", {}).get("role")
    if role in _READS_ONLY:
        raise HubRefused(
            f"the token of {name} may only read, and {repository} is to be created",
            hint="Use a token that may write: `hf auth login`, or set HF_TOKEN.",
        )
    owner = repository.id.partition("/")[0]
    organizations = {one_line(each.get("name", "")): each.get("roleInOrg") for each in account.get("orgs", [])}
    if owner not in {name, *organizations}:
        raise HubRefused(
            f"{name} is not {owner} and no member of it, and {repository} is to be created",
            hint="Correct target.repo in release.yaml, or sign in as somebody who may: `hf auth login`.",
        )
    if organizations.get(owner) in _READS_ONLY:
        raise HubRefused(
            f"{name} may only read in {owner}, and {repository} is to be created",
            hint=f"Ask an administrator of {owner} for the right to write, or correct target.repo in release.yaml.",
        )


def is_free(repository: Repository, account: Mapping[str, Any]) -> bool | None:
    """Whether the repository belongs to this account and it pays nothing; None where the Hub does not say.

    Of an organization it only says whether it could be charged, not what its plan is.
    """
    pays = account.get("isPro")
    is_own = repository.id.partition("/")[0] == account.get("name")
    return not pays if is_own and isinstance(pays, bool) else None
