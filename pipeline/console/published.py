"""What became of a published release: compared with its lock, rolled back, or withdrawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pipeline.card.figures import byte_size
from pipeline.console.terminal import one_line, print_hanging, print_line, print_rows, stdout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console

    from pipeline.hub.rollback import Rollback
    from pipeline.manifest import File
    from pipeline.stages.verify import Row, State, Verified
    from pipeline.stages.withdraw import Withdrawal

    Cells = Sequence[Text]

_STYLES = {"same": "green", "not looked at": "dim"}
_SHOWN = 12


def show_verified(verified: Verified, console: Console | None = None) -> None:
    """Where it is, how much agrees, and every file and tag that does not."""
    console = console or stdout()
    title = (f" at {one_line(verified.repository)}, tag {verified.tag}, commit {verified.commit[:12]}", "")
    print_hanging(console, Text(), Text.assemble((verified.name, "bold"), title))
    print_line(console, Text())
    print_rows(console, list(_sides(verified)), right={1, 2})
    if wrong := [row for row in verified.rows if not row.agrees]:
        print_line(console, Text())
        print_rows(console, list(_differences(wrong)), right={1})
    for said, style in (*((p, "red") for p in verified.problems), *((r, "dim") for r in verified.remarks)):
        print_line(console, Text())
        print_hanging(console, Text(), Text(one_line(said), style))


def show_rollback(
    rollback: Rollback, repository: str, console: Console | None = None, *, dry_run: bool = False
) -> None:
    """What one commit would do, or why there is nothing to do."""
    console = console or stdout()
    where = Text.assemble((one_line(repository), "bold"), f" back to {rollback.tag}, commit {rollback.commit[:12]}")
    print_hanging(console, Text(), where)
    if rollback.nothing_to_do:
        print_hanging(console, Text(), Text("nothing to do: main holds exactly the files of that tag"))
        return
    print_line(console, Text())
    print_rows(
        console,
        [
            _amounts("pointed at, 0 bytes sent", rollback.copied),
            _amounts("small, fetched and sent back", rollback.fetched),
            _amounts("deleted from main", rollback.deleted),
            _amounts("left as they are", rollback.kept),
        ],
        right={1, 2},
    )
    print_line(console, Text())
    named = (("delete", rollback.deleted), ("send", rollback.fetched), ("point", rollback.copied))
    rows = [(Text(verb), Text(byte_size(file.size)), Text(one_line(file.path))) for verb, fs in named for file in fs]
    _cut(console, rows, right={1})
    if dry_run:
        _unchanged(console)


def show_withdrawal(
    withdrawal: Withdrawal, repository: str, console: Console | None = None, *, dry_run: bool = False
) -> None:
    """The warning that the card gets and what becomes of the tag, or why there is nothing to do."""
    console = console or stdout()
    print_hanging(console, Text(), Text.assemble((one_line(repository), "bold"), f", tag {withdrawal.tag}"))
    if withdrawal.nothing_to_do:
        print_hanging(console, Text(), Text("nothing to do: the card says so, and there is no such tag"))
        return
    print_line(console, Text())
    yes, no = Text("stays as it is: it warns already", "dim"), Text("gets a warning:")
    rows: list[Cells] = [(Text("card", "dim"), yes if withdrawal.marked else no)]
    if not withdrawal.marked:
        added = [line for line in withdrawal.after.splitlines() if line not in withdrawal.before.splitlines()]
        rows += [(Text(), Text(one_line(line), "yellow")) for line in added if not line.startswith("<!--")]
    rows.append((Text("tag", "dim"), Text("is removed" if withdrawal.tagged else "is gone already")))
    rows.append((Text("files", "dim"), Text("stay")))
    print_rows(console, rows)
    if dry_run:
        _unchanged(console)


def _unchanged(console: Console) -> None:
    print_line(console, Text())
    print_line(console, Text("Nothing was changed."))


def _sides(verified: Verified) -> Iterator[Cells]:
    rows = [row for row in verified.rows if row.there != "not of the release"]
    yield Text("lock", "dim"), *_count(rows), Text("what was published")
    here = [row for row in rows if row.here != "not looked at"]
    place = Text(one_line(verified.model)) if verified.model else Text("not looked at: there is no such folder here")
    looked = [row for row in here if verified.model]
    yield Text("here", "dim"), *_count(looked), _verdict([row.here for row in looked], place)
    extra = [row for row in verified.rows if row.there == "not of the release"]
    there = [row for row in rows if row.there != "missing"] + extra
    yield Text("Hub", "dim"), *_count(there), _verdict([row.there for row in verified.rows], Text())


def _verdict(states: Sequence[State], place: Text) -> Text:
    wrong = sum(state != "same" for state in states)
    said = Text(f"{wrong} differ" if wrong != 1 else "1 differs", "red") if wrong else Text("the same", "green")
    if not states:
        return place
    return Text.assemble(said, ", " if place else "", place)


def _differences(rows: Iterable[Row]) -> Iterator[Cells]:
    yield Text("file", "dim"), Text("size", "dim"), Text("here", "dim"), Text("Hub", "dim")
    for row in rows:
        yield (
            Text(one_line(row.file.path)),
            Text(byte_size(row.file.size)),
            Text(row.here, _STYLES.get(row.here, "red")),
            Text(row.there, _STYLES.get(row.there, "red")),
        )


def _count(rows: Sequence[Row]) -> Cells:
    return _files(len(rows)), Text(byte_size(sum(row.file.size for row in rows)) if rows else "")


def _amounts(name: str, files: Sequence[File]) -> Cells:
    return Text(name, "dim"), _files(len(files)), Text(byte_size(sum(file.size for file in files)) if files else "")


def _files(count: int) -> Text:
    return Text(f"{count} file" if count == 1 else f"{count} files" if count else "none")


def _cut(console: Console, rows: Sequence[Cells], right: set[int]) -> None:
    print_rows(console, rows[:_SHOWN], right=right)
    if len(rows) > _SHOWN:
        print_hanging(console, Text(), Text(f"  and {len(rows) - _SHOWN} more", "dim"))
