"""Blobs as soon as they are finished, then one commit that makes the release visible, then proof and a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pipeline.engine.task import Lane, Task
from pipeline.errors import BaseModelError, HubRefused
from pipeline.hub.doubt import difference
from pipeline.hub.protocol import Repository, Upload
from pipeline.hub.publish import publish
from pipeline.manifest import SUMS, File, Manifest, describe, write_atomically
from pipeline.stages import contents, creating, quantize, render, sign, storage, validate
from pipeline.stages.creating import COMMIT, REPOSITORY
from pipeline.stages.preflight import check_private, check_tag
from pipeline.stages.signature import FILE as SIGNATURE
from pipeline.weights.side_files import side_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engine.task import Step
    from pipeline.engine.workspace import Record
    from pipeline.manifest import Json
    from pipeline.stages.job import Job

LANE = Lane("upload", "sends every shard when it is written, and shows all of them by one commit at the end", width=2)
HEAD = "upload/head"


def tasks(job: Job) -> list[Task]:
    _check_names(job)
    storage.check_files(job)
    shards = [_shard(job, shard.name, shard.size) for shard in job.layout.shards]
    signing = sign.tasks(job, LANE)
    sent = tuple(task.name for task in (*shards, *signing))
    return [*creating.tasks(job, LANE), _head(job), *shards, *signing, _commit(job, sent)]


def _check_names(job: Job) -> None:
    """`BaseModelError` where a file of the base would have to stand in the place of one that is rendered."""
    if taken := sorted(
        file.path for file in side_files(job.base.files) if file.path in {*render.FILES, SUMS, SIGNATURE}
    ):
        raise BaseModelError(
            f"{job.base.repo} holds {' and '.join(taken)}, and a release publishes what it measured under that name",
            hint="Start from the model that it was made from, or from a copy without such a file.",
        )


def _target(job: Job) -> Repository:
    return Repository(job.release.target.repo)


def _head(job: Job) -> Task:
    """What the commit is made on: everything that comes after it in the meantime is somebody else's."""
    target = _target(job)

    def run(step: Step) -> Mapping[str, Json]:
        check_tag(job)
        check_private(job)
        for remark in storage.remarks(job):
            step.note(remark)
        return {"head": job.hub.head(target)}

    def check(record: Record) -> str | None:
        head, published = job.hub.head(target), job.published_commit
        if head in {record.values["head"], published}:
            return None
        if head and published and job.hub.tags(target).get(job.release.target.tag) == published:
            return None  # whatever came after it
        return f"main of {target} is another commit, {str(head)[:12]}"

    return Task(HEAD, LANE, run, (REPOSITORY,), {"repository": target.id, "tag": job.release.target.tag}, check=check)


def _shard(job: Job, shard: str, size: int) -> Task:
    source = quantize.name(shard)

    def run(step: Step) -> Mapping[str, Json]:
        path = quantize.path(shard)
        file = File(shard, step.path(path).stat().st_size, step.record(source).sha256(path))
        job.hub.preupload(_target(job), Upload(step.path(path), file), step.advance)
        return {"sha256": file.sha256}

    settings: dict[str, Json] = {"repository": job.release.target.repo}
    return Task(f"upload/{shard}", LANE, run, (REPOSITORY, source), settings, work=size)


def _commit(job: Job, sent: tuple[str, ...]) -> Task:
    """The only task that changes what anyone can see; `sent` are those that have to be done beside what is judged."""
    target, tag = _target(job), job.release.target.tag

    def run(step: Step) -> Mapping[str, Json]:
        from pipeline.card.lint import check_card

        uploads = _uploads(job, step)
        wanted = Manifest(tuple(upload.file for upload in uploads))
        card = step.path(render.CARD).read_text(encoding="utf-8")
        render.check_reviewed(job, card)
        check_card(job.name, card, {file.path for file in wanted})
        job.hub.validate_card(card)
        _send_missing(job, uploads, step)
        commit = _publish(job, uploads, wanted, step)
        # Before the tag: whoever is stopped between the two has to know the next time that the tag is ours.
        render.write_commit(job, commit)
        if job.hub.tags(target).get(tag) != commit:
            job.hub.tag(target, tag, commit)
        if not job.release.target.private and job.hub.is_private(target):
            creating.show(job, commit, step)
        return {"commit": commit, "files": len(wanted), "bytes": wanted.size}

    def check(record: Record) -> str | None:
        commit = job.hub.tags(target).get(tag) if job.hub.head(target) else None
        if commit != record.values["commit"]:
            return f"the tag {tag} on the Hub names {commit[:12] if commit else 'no commit'}"
        return (
            None
            if job.published_commit == commit
            else f"releases/{job.name}/release.lock.json does not name the commit"
        )

    needs = (REPOSITORY, HEAD, *sent, *quantize.names(job), validate.JUDGE, render.TASK)
    settings: dict[str, Json] = {"repository": target.id, "tag": tag, "private": job.release.target.private}
    return Task(COMMIT, LANE, run, needs, settings, check=check)


def _send_missing(job: Job, uploads: list[Upload], step: Step) -> None:
    """What is sent ahead of the commit and is not there: large files beside the shards, and shards that were lost.

    A record says that a shard was sent, and not that the Hub still has it: what no commit refers to is dropped after a
    day or so. The commit would send it as well, but without a word, and nobody could stop it.
    """
    for upload in job.hub.missing(_target(job), uploads):
        if upload.file.path in {shard.name for shard in job.layout.shards}:
            step.note(f"the Hub has dropped {upload.file.path} before the commit: sent again")
        job.hub.preupload(_target(job), upload, lambda _: step.advance(0))


def _uploads(job: Job, step: Step) -> list[Upload]:
    """Every file of the release, under the path it has on the Hub."""
    uploads = contents.made(job, step)
    if job.release.signing:
        uploads.append(sign.upload(step))
    sums = step.path(f"card/{SUMS}")
    write_atomically(sums, Manifest(tuple(upload.file for upload in uploads)).sums())
    return [*uploads, Upload(sums, describe(sums, SUMS))]


def _publish(job: Job, uploads: list[Upload], wanted: Manifest, step: Step) -> str:
    """The commit at which the Hub holds exactly `wanted`: the one that is tagged already, or what `publish` makes."""
    target, tag = _target(job), job.release.target.tag
    tagged = job.hub.tags(target).get(tag)
    if not tagged:
        parent = step.record(HEAD).values["head"]
        message = f"{job.release.title} ({tag})"
        return publish(job.hub, target, uploads, message=message, parent=cast("str", parent), note=step.note)
    if difference(wanted, job.hub.manifest(target, tagged)):
        raise HubRefused(
            f"the tag {tag} of {target} already names commit {tagged[:12]}, which holds other files",
            hint="A published tag never moves: raise target.tag in release.yaml.",
        )
    return tagged
