"""What a person sees of a run that is held to account."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flsim.govern.compliance import Checked
from flsim.govern.differences import Compared
from flsim.govern.verify import Verified
from flsim.replay import Replayed

_COLOURS = {"pass": "green", "fail": "bold red", "not applicable": "dim"}


def print_verified(verified: Verified, console: Console) -> None:
    """Tell which files have changed and where, or that none has."""
    for damage in verified.damages:
        console.print(f"[bold red]CHANGED[/] {escape(str(damage))}", soft_wrap=True)
    if verified.unlisted:
        names = ", ".join(verified.unlisted)
        console.print(f"Written after the run, and not verified: {names}", soft_wrap=True, markup=False)
    if not verified.damages:
        signed = "signed" if verified.signed else "not signed"
        console.print(
            f"[green]UNCHANGED[/] {verified.files} files; the manifest is {signed}", soft_wrap=True
        )
    console.print(f"Manifest: sha256 {verified.manifest_sha256}", soft_wrap=True, markup=False)


def print_checks(checks: Sequence[Checked], console: Console) -> None:
    """Show each check with what it found: a table on a terminal, plain lines elsewhere."""
    if console.is_terminal:
        table = Table("#", "check", "", "evidence")
        for check in checks:
            colour = _COLOURS[check.status]
            table.add_row(
                str(check.number), check.name, f"[{colour}]{check.status}[/]", escape(check.evidence)
            )
        console.print(table)
        return
    for check in checks:
        line = f"{check.number:2} {check.status:14} {check.name}: {check.evidence}"
        console.print(line, soft_wrap=True, markup=False)


def print_replayed(replayed: Replayed, console: Console) -> None:
    """Tell whether a replay said the same, and if not, which record is the first that differs."""
    if replayed.reproduced:
        same = f"{len(replayed.compared.same)} files, {replayed.versions} versions"
        console.print(f"[bold green]REPRODUCED[/] {same}", soft_wrap=True)
        for name, digest in replayed.hashes.items():
            if digest is not None:
                console.print(f"{name}: {digest}", soft_wrap=True, markup=False)
        return
    print_differences(replayed.compared, "NOT REPRODUCED", console)
    for what, (before, now) in replayed.elsewise.items():
        console.print(
            f"The environment has changed: {what} was {before}, is {now}", soft_wrap=True, markup=False
        )


def print_differences(compared: Compared, verdict: str, console: Console) -> None:
    """Tell the first record that differs, and in which other files there are some, too."""
    first, *others = compared.differences
    console.print(f"[bold red]{verdict}[/] The first record that differs:", soft_wrap=True)
    console.print(str(first), soft_wrap=True, markup=False)
    if others:
        names = ", ".join(other.file for other in others)
        console.print(f"Others differ in: {names}", soft_wrap=True, markup=False)
