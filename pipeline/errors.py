"""Every failure a user can meet: what happened, what to do next, and the exit code."""

from __future__ import annotations


class PipelineError(Exception):
    """A failure that is not a bug: shown as one message and one hint, never as a traceback."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(PipelineError):
    """The command line or the release repository does not make sense."""


class ReleaseFileError(PipelineError):
    """One or more problems in a file that a person wrote, all of them reported at once."""

    def __init__(self, problems: tuple[str, ...], *, hint: str = "") -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.hint = hint


class BaseModelError(PipelineError):
    """The base model cannot be read, or is of a kind that cannot be quantized."""


class DoesNotFit(PipelineError):
    """The result would be larger than the release says that it may be."""


class WorkspaceError(PipelineError):
    """The workspace is locked, full or not writable."""


class ThresholdsMissed(PipelineError):
    """The result was measured and is not good enough to publish."""

    exit_code = 3


class Unmeasurable(ThresholdsMissed):
    """What the result computes is no number: it is not good enough, whatever was asked."""


class NotServed(PipelineError):
    """`mlx_lm.server`, which the card tells people to run, does not run with the result."""


class HubError(PipelineError):
    """The Hub gave no good answer; asking again later may help, and the same command resumes.

    retry_after: seconds that the Hub asked to wait, if it did.
    """

    exit_code = 4

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class HubRefused(HubError):
    """The Hub's answer will not change by asking again (401, 403, 404, quota, invalid card)."""


class Overtaken(HubRefused):
    """Somebody else committed to the repository meanwhile.

    paths: the files that are not what they were; None when nobody has looked. head: the commit up to which that holds.
    """

    def __init__(
        self, message: str, *, hint: str = "", paths: frozenset[str] | None = None, head: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.paths = paths
        self.head = head


class BlobsGone(HubError):
    """The Hub has dropped bytes that were sent ahead of the commit; `paths` names their files."""

    def __init__(self, message: str, *, hint: str = "", paths: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.paths = paths


class CardInvalid(PipelineError):
    """The card's front matter breaks the Hub's rules: one or more problems, all of them reported at once."""

    def __init__(self, problems: tuple[str, ...], *, hint: str = "") -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.hint = hint


class CardDiffers(PipelineError):
    """The committed card is not what its inputs render, or not the one that was reviewed."""

    exit_code = 5


class PublishedDiffers(PipelineError):
    """What the Hub or the workspace holds of a release is not what its lock says."""

    exit_code = 5


class Interrupted(PipelineError):
    """Stopped by the user; the same command resumes."""

    exit_code = 130
