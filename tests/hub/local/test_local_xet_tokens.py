from __future__ import annotations

import time

import httpx2
import pytest

from pipeline.hub.local import xet_tokens
from pipeline.hub.local.server import LocalHub

HASH = "0" * 64


def token(hub, repo, scope="read", *, revision="main", authorized=True):
    return httpx2.get(
        f"{hub.endpoint}/api/models/{repo}/xet-{scope}-token/{revision}",
        headers={"authorization": "Bearer x"} if authorized else {},
    )


def ask(answer, method="GET", path=f"/v2/reconstructions/{HASH}", **changes):
    given = {**answer.json(), **changes}
    return httpx2.request(
        method, f"{given['casUrl']}{path}", headers={"authorization": f"Bearer {given['accessToken']}"}
    )


def test_headers_and_body_say_the_same(hub, repo):
    answer = token(hub, repo)
    body = answer.json()
    assert answer.headers["x-xet-cas-url"] == body["casUrl"]
    assert answer.headers["x-xet-access-token"] == body["accessToken"]
    assert answer.headers["x-xet-token-expiration"] == str(body["exp"])
    assert body["exp"] > time.time() + 600
    assert not body["casUrl"].startswith(hub.endpoint)


def test_whoever_may_read_gets_a_token_that_reads(hub, repo, api):
    assert token(hub, repo, authorized=False).status_code == 200
    assert token(hub, repo, "write", authorized=False).status_code == 401
    api.update_repo_settings(repo, private=True)
    assert token(hub, repo, authorized=False).status_code == 404
    assert token(hub, repo).status_code == 200
    assert token(hub, repo, "write").status_code == 200
    assert token(hub, repo, revision="nothing").status_code == 404
    assert token(hub, "demo/nothing").status_code == 404


def test_a_read_token_does_not_write(hub, repo):
    assert ask(token(hub, repo)).status_code == 404  # it may ask, there is no such file
    for path in (f"/v1/xorbs/default/{HASH}", "/v1/shards", "/v2/shards"):
        assert ask(token(hub, repo), "POST", path).status_code == 403
        assert ask(token(hub, repo, "write"), "POST", path).status_code == 400


def test_a_token_cannot_be_made_up(hub, repo):
    good = token(hub, repo).json()["accessToken"]
    for bad in ("x", "hf_token", good[:-1], good.replace("read", "write"), good.replace(".", ".1", 1), "xet_a.b.c"):
        assert ask(token(hub, repo), accessToken=bad).status_code == 401, bad


def test_a_token_expires(hub, repo, monkeypatch):
    monkeypatch.setattr(xet_tokens, "_SECONDS", -1)
    assert ask(token(hub, repo)).status_code == 401


def test_another_run_has_the_same_address_and_takes_no_old_token(tmp_path):
    addresses, tokens = [], []
    for _ in range(2):
        with LocalHub(tmp_path) as hub:
            httpx2.post(
                f"{hub.endpoint}/api/repos/create", json={"name": "model"}, headers={"authorization": "Bearer x"}
            )
            answer = token(hub, "demo/model")
            addresses.append(answer.json()["casUrl"])
            tokens.append(answer.json()["accessToken"])
            assert ask(answer, accessToken=tokens[0]).status_code == (404 if len(tokens) == 1 else 401)
    assert addresses[0] == addresses[1]


@pytest.mark.parametrize("scope", ["read", "write"])
def test_a_hub_that_is_read_only_gives_out_tokens_that_read(tmp_path, scope):
    with LocalHub(tmp_path) as hub:
        headers = {"authorization": "Bearer x"}
        httpx2.post(f"{hub.endpoint}/api/repos/create", json={"name": "model"}, headers=headers)
        with LocalHub(tmp_path, readonly=True) as looking:
            assert token(looking, "demo/model", scope).status_code == (200 if scope == "read" else 403)


def test_a_batch_sends_clients_that_ask_for_it_to_xet(hub, repo):
    def batch(*transfers):
        asked = {"operation": "upload", "transfers": transfers, "objects": [{"oid": HASH, "size": 5}]}
        url = f"{hub.endpoint}/{repo}.git/info/lfs/objects/batch"
        return httpx2.post(url, json=asked, headers={"authorization": "Bearer x"}).json()

    answer = batch("basic", "multipart", "xet")
    assert answer["transfer"] == "xet"
    action = answer["objects"][0]["actions"]["upload"]
    given = {"casUrl": action["header"]["X-Xet-Cas-Url"], "accessToken": action["header"]["X-Xet-Access-Token"]}
    assert ask(token(hub, repo), "POST", "/v1/shards", **given).status_code == 400  # it may write
    assert httpx2.get(action["href"], headers={"authorization": "Bearer x"}).json()["accessToken"]
    assert batch("basic", "multipart")["transfer"] == "multipart"
