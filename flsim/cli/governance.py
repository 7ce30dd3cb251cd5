"""`flsim verify`, `replay`, `lineage`, `rollback`, `sign` and `keygen`: holding a run to account."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flsim.cli.group import Screen, cli, verbosely
from flsim.errors import EXIT_DONE, EXIT_ERROR, FlsimError

if TYPE_CHECKING:
    from flsim.govern.compliance import Checked
    from flsim.govern.verify import Verified

run_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


@cli.command()
@run_folder
@click.option(
    "--policy", metavar="FILE.yaml", type=click.Path(path_type=Path), help="Hold the run to a policy, too."
)
@click.option(
    "--public-key", metavar="FILE", type=click.Path(path_type=Path), help="Whose signature there must be."
)
@click.option("--expect", metavar="SHA256", help="The manifest's hash, as it was noted elsewhere.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print it."
)
@verbosely
def verify(
    folder: Path, policy: Path | None, public_key: Path | None, expect: str | None, form: str, verbose: bool
) -> int:
    """Find every byte of a run's files that has changed since it ended; with a policy, judge the run."""
    from flsim.govern.compliance import comply
    from flsim.govern.manifest import is_governed
    from flsim.govern.policy import read_policy
    from flsim.govern.verify import verify as verify_files

    thresholds = None if policy is None else read_policy(policy)
    verified: Verified | None = None
    if thresholds is None or public_key is not None or expect is not None or is_governed(folder):
        verified = verify_files(folder, public_key=public_key, expected=expect)
    damaged = verified is not None and bool(verified.damages)
    checks: list[Checked] = []
    try:
        checks = [] if thresholds is None else comply(folder, thresholds)
    except FlsimError as error:
        if not damaged:
            raise
        click.echo(f"The policy cannot be judged: {error}", err=True)
    _tell(verified, checks, form)
    return EXIT_ERROR if damaged or any(check.status == "fail" for check in checks) else EXIT_DONE


def _tell(verified: "Verified | None", checks: list["Checked"], form: str) -> None:
    from flsim.terminal.governance import print_checks, print_verified

    if form == "json":
        files = None if verified is None else verified.as_data()
        click.echo(json.dumps({"files": files, "checks": [check._asdict() for check in checks]}, indent=2))
        return
    console = Screen(highlight=False)
    if verified is not None:
        print_verified(verified, console)
    if checks:
        print_checks(checks, console)


@cli.command()
@run_folder
@click.option(
    "--out", metavar="PARENT", type=click.Path(path_type=Path), help="Keep the replay, in PARENT/<name>/."
)
@verbosely
def replay(folder: Path, out: Path | None, verbose: bool) -> int:
    """Run a finished run once more from its own scenario.yaml, elsewhere, and compare every record."""
    from flsim.replay import replay as replay_run
    from flsim.terminal.governance import print_replayed

    replayed = replay_run(folder, out)
    print_replayed(replayed, Screen(highlight=False))
    return EXIT_DONE if replayed.reproduced else EXIT_ERROR


@cli.command()
@run_folder
@click.argument("version", type=click.IntRange(min=0))
@click.option("--depth", type=click.IntRange(min=0), help="How many versions to go back; by default, all.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "graphml"]),
    default="text",
    help="How to print it; graphml is for networkx and other tools for graphs.",
)
@verbosely
def lineage(folder: Path, version: int, depth: int | None, form: str, verbose: bool) -> int:
    """Show where a version comes from: whose updates, and from which versions these had started."""
    from flsim.govern import lineage as origins

    found = origins.lineage(folder, version, depth)
    if form == "json":
        click.echo(json.dumps(origins.as_data(found), indent=2))
    else:
        click.echo(origins.as_graphml(found) if form == "graphml" else origins.as_text(found), nl=False)
    return EXIT_DONE


@cli.command()
@run_folder
@click.argument("version", type=click.IntRange(min=0))
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write the files there instead of DIR/export/.",
)
@verbosely
def rollback(folder: Path, version: int, out: Path | None, verbose: bool) -> int:
    """Write the model of an earlier version, which a checkpoint has kept, for torch and as safetensors."""
    from flsim.rollback import rollback as roll_back

    path = roll_back(folder, version, out)
    click.echo(f"Version {version}: {path}.pt, {path}.safetensors")
    return EXIT_DONE


@cli.command()
@run_folder
@click.option(
    "--key",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A private Ed25519 key, PEM.",
)
@verbosely
def sign(folder: Path, key: Path, verbose: bool) -> int:
    """Sign the manifest of a run whose files are unchanged."""
    from flsim.errors import RunError
    from flsim.govern.signature import sign as sign_manifest
    from flsim.govern.verify import verify as verify_files

    damages = [damage for damage in verify_files(folder).damages if not damage.is_of_signature]
    if damages:
        raise RunError(f"{folder}: not signed, as files have changed: {damages[0]}")
    click.echo(f"Signature: {sign_manifest(folder, key)}")
    return EXIT_DONE


@cli.command()
@click.argument("file", metavar="KEY", type=click.Path(path_type=Path))
@verbosely
def keygen(file: Path, verbose: bool) -> int:
    """Make a key pair to sign manifests with: KEY, which is to be kept secret, and KEY.pub."""
    from flsim.govern.signature import new_key

    public = new_key(file)
    click.echo(f"Private key: {file}\nPublic key: {public}")
    return EXIT_DONE
