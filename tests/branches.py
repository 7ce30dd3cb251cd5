"""How much of flsim the tests come by: `python -m tests.branches`, after `make coverage` has measured.

Fails below the least share of lines and branches together (`fail_under` in pyproject.toml) and of branches
alone. Tells of the files in which most branches are never taken.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

from coverage import Coverage

TOLD = 15  # files


def main() -> int:
    coverage = Coverage()
    coverage.load()
    report = Path(str(coverage.get_option("run:data_file"))).with_name("report.json")
    with contextlib.redirect_stdout(io.StringIO()):
        coverage.json_report(outfile=str(report))
    measured = json.loads(report.read_text())
    total, least = measured["totals"], float(str(coverage.get_option("report:fail_under")))
    files = {name: of["summary"]["missing_branches"] for name, of in measured["files"].items()}
    for name in sorted(files, key=lambda name: (-files[name], name))[:TOLD]:
        print(f"{files[name]:4} branches not taken  {name}")
    shares = {
        "lines and branches": total["percent_covered"],
        "branches": total["percent_branches_covered"],
    }
    for what, share in shares.items():
        print(f"{share:6.2f} % of {what}; {least:g} % are needed")
    return 1 if min(shares.values()) < least else 0


if __name__ == "__main__":
    sys.exit(main())
