"""The inside of a host: run as process 1 of namespaces of its own, with a tree as its argument.

It puts the tree's files over copies of the machine's own, loads the firewall, starts the servers,
says so in one line, and stays until its standard input ends; with it everything ends.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

OWN = Path("/run/sslint")  # what is copied, and the programs' output
COPIED = ("/etc", "/var/www", "/var/spool/postfix", "/var/lib/postfix", "/var/lib/dovecot")
MERGED = ("ssl", "default", "postfix")  # the machine's own files there are needed too
SERVERS = {
    "nginx": ("nginx", "-g", "daemon off;"),
    "apache2": ("apache2", "-DFOREGROUND"),
    "postfix": ("postfix", "start-fg"),
    "dovecot": ("dovecot", "-F"),
}


def main(tree: Path) -> None:
    """Bring the host up and wait."""
    # The tree may lie where tmpfs is about to be mounted.
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "tmpfs", "/mnt")
    shutil.copytree(tree, "/mnt", symlinks=True, dirs_exist_ok=True)
    mount("-t", "tmpfs", "tmpfs", "/run")
    OWN.mkdir()
    mount("--move", "/mnt", _made(OWN / "tree"))
    mount("-t", "tmpfs", "tmpfs", "/var/log")
    _made(Path("/var/log/nginx"))
    for path in COPIED:
        if Path(path).exists():
            copy = OWN / path.strip("/").replace("/", "-")
            run("cp", "-a", path, copy)
            mount("--bind", copy, path)
    for directory in ("etc", "var/www"):
        for path in (OWN / "tree" / directory).glob("*"):
            _put(path, Path("/", directory, path.name))
    _chroot()
    firewall()
    for name, command in SERVERS.items():
        if etc_of(name).exists():
            start(name, *command)
    if etc_of("postfix").exists():  # it sets its queue up for seconds before it listens
        log = OWN / "postfix.log"
        with contextlib.suppress(TimeoutError):
            _until(lambda: any(word in log.read_text() for word in ("daemon started", "fatal")))
    print("started", flush=True)
    sys.stdin.read()


def etc_of(name: str) -> Path:
    """Return the tree's own directory of a program."""
    return OWN / "tree/etc" / name


def firewall() -> None:
    """Load whatever firewall the tree has, as its unit would at boot."""
    if etc_of("nftables.conf").exists():
        run("nft", "-f", "/etc/nftables.conf")
    for version, restore in (("v4", "iptables-nft-restore"), ("v6", "ip6tables-nft-restore")):
        rules = etc_of(f"iptables/rules.{version}")
        if rules.exists():
            with rules.open() as file:
                subprocess.run([restore], stdin=file, check=True)
    if etc_of("ufw").exists():
        run("/usr/lib/ufw/ufw-init", "start")
    if etc_of("firewalld").exists():
        _made(Path("/run/dbus"))
        start("dbus", "dbus-daemon", "--system", "--nofork", "--nopidfile")
        _until(Path("/run/dbus/system_bus_socket").exists)
        start("firewalld", "firewalld", "--nofork", "--nopid")
        _until(
            lambda: subprocess.run(["firewall-cmd", "--state"], capture_output=True).returncode == 0
        )


def _put(source: Path, target: Path) -> None:
    """Replace a directory by the tree's, or only add the tree's files."""
    if source.is_dir() and target.is_dir() and source.name in MERGED:
        for child in source.iterdir():
            _put(child, target / child.name)
        return
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy(source, target)
    if source.name == "ssl" or source.suffix == ".key":
        run("chmod", "-R", "go-w", target)


def _chroot() -> None:
    """Give Postfix's chrooted services the files they look names up in."""
    jail = Path("/var/spool/postfix/etc")
    if jail.parent.exists():
        jail.mkdir(exist_ok=True)
        private = jail.parent / "private"  # where others put sockets for smtpd
        private.mkdir(mode=0o700, exist_ok=True)
        shutil.chown(private, "postfix")
        for name in ("services", "hosts", "nsswitch.conf", "localtime", "resolv.conf"):
            if Path("/etc", name).exists():
                shutil.copy(Path("/etc", name), jail / name)


def start(name: str, *command: str) -> None:
    """Start a program in the background, its output in a file."""
    with (OWN / f"{name}.log").open("w") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def mount(*arguments: str | Path) -> None:
    """Call mount(8)."""
    run("mount", *arguments)


def run(*command: str | Path) -> None:
    """Run a command that must succeed; its output goes to standard error."""
    subprocess.run(command, check=True, stdout=sys.stderr)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _until(ready: object) -> None:
    assert callable(ready)
    for _ in range(600):
        if ready():
            return
        time.sleep(0.05)
    raise TimeoutError


if __name__ == "__main__":
    main(Path(sys.argv[1]))
