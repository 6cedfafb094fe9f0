"""Hosts whose rulesets are written by the real ufw or by the real firewalld."""

from __future__ import annotations

import contextlib
import ctypes
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.live.kernel.lab import RECORDER, Lab, Refused, private_mounts, run

UFW = Path("/etc/ufw")
DEFAULTS = Path("/etc/default/ufw")
FIREWALLD = Path("/etc/firewalld")


class UfwLab(Lab):
    """A host with ufw; its files are this process's own copies."""

    def __init__(self) -> None:
        super().__init__()
        private_mounts("/run")
        self._stock = Path("/run/stock")
        self._stock.mkdir()
        shutil.copytree(UFW, self._stock / "ufw")
        shutil.copy(DEFAULTS, self._stock / "defaults")
        copy = Path("/run/copy")
        copy.mkdir()
        (copy / "ufw").mkdir()
        (copy / "defaults").touch()
        run("mount", "--bind", str(copy / "ufw"), str(UFW))
        run("mount", "--bind", str(copy / "defaults"), str(DEFAULTS))

    def load(self, rulesets: Mapping[str, str]) -> None:
        """Write the files as ufw's commands and the additions say, and enable it."""
        run("nft", "-f", "-", text=f"flush ruleset\n{RECORDER}")
        self._write(rulesets)
        for line in rulesets.get("ufw", "").splitlines():
            with contextlib.suppress(Refused):  # a command that ufw refuses changes nothing
                run("ufw", *shlex.split(line))
        self._add(rulesets)
        said = run("ufw", "--force", "enable")
        if "Firewall is active" not in said or "ERROR" in said:
            raise Refused(said, "")

    def _write(self, rulesets: Mapping[str, str]) -> None:
        for path in UFW.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self._stock / "ufw", UFW, dirs_exist_ok=True)
        defaults = (self._stock / "defaults").read_text()
        # Its sysctl settings are no part of the ruleset, and rp_filter would judge before it.
        defaults = defaults.replace("IPT_SYSCTL=", "#IPT_SYSCTL=")
        ipv6 = rulesets.get("ufw-ipv6", "yes")
        DEFAULTS.write_text(defaults.replace("IPV6=yes", f"IPV6={ipv6}"))

    def _add(self, rulesets: Mapping[str, str]) -> None:
        for name in ("before.rules", "before6.rules", "after.rules", "after6.rules"):
            path = UFW / name
            text = path.read_text()
            if name in rulesets:
                mark = "# End required lines\n"
                head, _, rest = text.partition(mark)
                text = f"{head}{mark}{rulesets[name]}\n{rest}"
            translations = f"nat{'6' if '6' in name else ''}"
            if name.startswith("before") and translations in rulesets:
                text += rulesets[translations] + "\n"
            path.write_text(text)

    def files(self) -> dict[str, str]:
        """Return the files as they are now, by host path."""
        paths = [DEFAULTS, *(path for path in UFW.rglob("*") if path.is_file())]
        return {str(path): path.read_text() for path in paths}


class FirewalldLab(Lab):
    """A host with firewalld on a system bus of its own."""

    def __init__(self) -> None:
        super().__init__()
        private_mounts("/run", str(FIREWALLD), "/var/log")
        Path("/run/dbus").mkdir()
        self._daemons = [
            _start("dbus-daemon", "--system", "--nofork", "--nopidfile"),
        ]
        _wait_until(Path("/run/dbus/system_bus_socket").exists, "the system bus")
        self._write({})
        self._daemons.append(_start("firewalld", "--nofork", "--nopid"))
        _wait_until(self._running, "firewalld")
        run("nft", "-f", "-", text=RECORDER)

    @staticmethod
    def _running() -> bool:
        try:
            return run("firewall-cmd", "--state").strip() == "running"
        except Refused:
            return False

    def load(self, rulesets: Mapping[str, str]) -> None:
        """Write the files and reload the daemon."""
        self._write(rulesets)
        try:
            run("firewall-cmd", "--check-config")
            run("firewall-cmd", "--reload")
        except Refused as refusal:
            raise Refused(str(refusal), "firewalld") from None

    @staticmethod
    def _write(rulesets: Mapping[str, str]) -> None:
        for path in FIREWALLD.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for directory in ("zones", "services", "policies", "ipsets", "icmptypes", "helpers"):
            (FIREWALLD / directory).mkdir()
        for name, text in rulesets.items():
            (FIREWALLD / name).write_text(text)

    def files(self) -> dict[str, str]:
        """Return the files as they are now, by host path."""
        return {str(path): path.read_text() for path in FIREWALLD.rglob("*") if path.is_file()}


def _start(*command: str) -> subprocess.Popen[bytes]:
    """Start a daemon that ends when this process does (PR_SET_PDEATHSIG)."""
    libc = ctypes.CDLL(None)
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: libc.prctl(1, signal.SIGKILL),
    )


def _wait_until(ready: object, what: str) -> None:
    assert callable(ready)
    for _ in range(200):
        if ready():
            return
        time.sleep(0.05)
    raise Refused(f"{what} did not start")
