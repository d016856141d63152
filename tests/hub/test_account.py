"""Who may create a repository and who pays, by the answers of the Hub that say so."""

from __future__ import annotations

import pytest

from pipeline.errors import HubRefused
from pipeline.hub.account import check_may_create, is_free
from pipeline.hub.protocol import Repository


def account(role="write", **orgs):
    members = [{"name": name, "roleInOrg": role_there} for name, role_there in orgs.items()]
    return {"name": "ann", "auth": {"accessToken": {"role": role}}, "orgs": members}


def test_ones_own_repositories_and_those_of_ones_organizations():
    check_may_create(Repository("ann/model"), account())
    check_may_create(Repository("ann/model"), account(role="fineGrained"))
    check_may_create(Repository("lab/model"), account(lab="contributor"))


def test_an_answer_that_says_little_is_no_reason_to_stop():
    check_may_create(Repository("ann/model"), {"name": "ann"})


@pytest.mark.parametrize(
    ("repository", "who", "said", "hint"),
    [
        ("ann/model", account(role="read"), "the token of ann may only read", "HF_TOKEN"),
        ("bob/model", account(), "ann is not bob and no member of it", "target.repo"),
        ("lab/model", account(lab="read"), "ann may only read in lab", "administrator of lab"),
    ],
)
def test_what_would_be_refused_after_a_day_is_refused_at_once(repository, who, said, hint):
    with pytest.raises(HubRefused, match=said) as caught:
        check_may_create(Repository(repository), who)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("repository", "said", "free"),
    [
        ("ann/model", {"name": "ann", "isPro": False}, True),
        ("ann/model", {"name": "ann", "isPro": True}, False),
        ("ann/model", {"name": "ann"}, None),
        ("lab/model", {"name": "ann", "isPro": True, "orgs": [{"name": "lab", "canPay": True}]}, None),
        ("ann/model", {}, None),
    ],
)
def test_who_pays_is_known_of_ones_own_account_alone(repository, said, free):
    assert is_free(Repository(repository), said) is free
