"""Files of record that programs of lvskit's read: they are written, and nothing in the kernel follows from them directly."""

from __future__ import annotations

from . import decisions, files, kinds
from .errors import HostError
from .programs import CommandRunner
from .resource import Stateless

_UNKNOWN = "Unknown keyword"
_REMEDIES = {
    "-C": "Change the service's health_check, or install a newer keepalived",
    "-P": "Change lvs_directors, or install a newer keepalived",
}


class Document(Stateless):
    def __init__(self, kind: kinds.Kind, wanted: str, recorded: str, run: CommandRunner) -> None:
        super().__init__(wanted, recorded, run)
        self.title, self.path = kind.title, kind.path


class GovernedServices(Document):
    """What the governor must know of services. `consent`: the last healthy real server of a service may leave."""

    def __init__(self, wanted: str, recorded: str, run: CommandRunner, *, consent: bool = False) -> None:
        super().__init__(kinds.HEALTH_PLAN, wanted, recorded, run)
        self.consent = consent

    def prepare(self) -> None:
        """Raises HostError if no healthy real server of a service would be left."""
        names = (
            [] if self.consent else decisions.without_healthy(decisions.services(self.wanted), decisions.read().states)
        )
        if names:
            raise HostError(
                f"this run takes the last healthy real server of {' and '.join(names)} out of the table: the others fail their health "
                "checks (see playbooks/status.yml). Bring one of them back first, or say -e lvs_host_last_server=true"
            )


class KeepalivedConf(Document):
    """The configuration of one of keepalived's two processes: of health checks (`option` -C), or of VRRP (-P)."""

    def __init__(self, kind: kinds.Kind, wanted: str, recorded: str, run: CommandRunner, *, option: str) -> None:
        super().__init__(kind, wanted, recorded, run)
        self.option = option

    def try_out(self) -> None:
        """Has keepalived read the new file. Only 0 counts, and no word that it does not know: else it would run with a part of it.

        Debian 11's 2.1.5 ends with 0 also where it does not know a word.
        """
        path = files.place(self.path) + files.SUFFIX
        code, out, err = self.run(["keepalived", "-t", self.option, "-f", path], None)
        if code or _UNKNOWN in out + err:
            said = "; ".join(line.strip() for line in (out + err).splitlines() if line.strip()) or "it says nothing"
            raise HostError(
                f"keepalived of this host does not accept the {self.title} (exit code {code}): {said}. The file is {self.path}. "
                f"{_REMEDIES[self.option]}"
            )
