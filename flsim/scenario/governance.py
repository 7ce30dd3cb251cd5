"""`governance`: what a run can be held to account by, once it is over."""

from flsim.component import Section
from flsim.scenario.files import FilePath


class Governance(Section):
    """An audit log of every server update, and a manifest of everything that the run has written.

    `sign`: a PEM file with the private Ed25519 key that signs the manifest. The file is read when the run
    is over, and nothing of it but its path gets into the results.
    """

    sign: FilePath | None = None
