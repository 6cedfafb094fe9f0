"""Whole hosts behind their real firewalls: a client, a router and the host, each a namespace.

The client is not on the host's link, or neighbour discovery would flatter the firewall.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.live.hosts.client import Cell, probe
from tests.live.kernel.lab import CLONE_NEWNET, namespace, run

HOST = {4: "198.51.100.1", 6: "2001:db8:1::1"}
ROUTER = {4: "198.51.100.2", 6: "2001:db8:1::2"}
BEYOND = {4: "203.0.113.1", 6: "2001:db8:2::1"}  # the router, as the clients see it
CLIENT = {4: "203.0.113.9", 6: "2001:db8:2::9"}
LENGTH = {4: 24, 6: 64}
QUIET = 3.5  # seconds without a new socket until all servers are taken to be up
PATIENCE = 40.0
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of one host. `log` is what its programs printed."""

    cells: tuple[Cell, ...]
    sockets: frozenset[tuple[str, int]]
    log: str = ""


def observe_all(
    trees: Sequence[Path], ports: Sequence[int], sources: Sequence[str], jobs: int = 6
) -> list[Observed]:
    """Observe hosts side by side; each has a process of its own."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=None) as pool:
        futures = [pool.submit(_in_a_process, tree, ports, sources) for tree in trees]
        return [future.result(timeout=240) for future in futures]


def _in_a_process(tree: Path, ports: Sequence[int], sources: Sequence[str]) -> Observed:
    """Observe in a child, whose end takes the namespaces along."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=lambda: sender.send(observe(tree, ports, sources))
    )
    child.start()
    try:
        sender.close()
        observed: Observed = receiver.recv()
        return observed
    finally:
        child.join(10)
        child.kill()


def observe(tree: Path, ports: Sequence[int], sources: Sequence[str]) -> Observed:
    """Start a tree's servers behind its firewall and say what each source gets on each port.

    The process moves into new namespaces: call it in one of its own.
    """
    with contextlib.ExitStack() as stack:
        client = network(sources, stack)
        host = stack.enter_context(started(tree))
        sockets = _settled()
        cells = _probe(client, ports, sources)
        return Observed(tuple(cells), sockets, log_of(host))


def network(sources: Sequence[str], stack: contextlib.ExitStack) -> int:
    """Make the three namespaces, keep this thread in the host's, and return the client's."""
    client, router = (_new(stack) for _ in range(2))
    namespace()
    _cable("eth0", router, "near")
    _address("eth0", HOST)
    with _inside(router):
        _address("near", ROUTER)
        _cable("far", client, "eth0")
        _address("far", BEYOND)
        for name in ("ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"):
            Path("/proc/sys/net", name).write_text("1")
        for source in sources:
            family = 6 if ":" in source else 4
            if source != CLIENT[family]:
                run("ip", "route", "add", source, "via", CLIENT[family])
    with _inside(client):
        _address("eth0", CLIENT)
        for source in sources:
            if source not in CLIENT.values():
                run("ip", "address", "add", source, "dev", "eth0", *_nodad(source))
        for gateway in BEYOND.values():
            run("ip", "route", "add", "default", "via", gateway)
    for gateway in ROUTER.values():
        run("ip", "route", "add", "default", "via", gateway)
    return client


def _new(stack: contextlib.ExitStack) -> int:
    namespace()
    return stack.enter_context(open("/proc/thread-self/ns/net")).fileno()


def _cable(name: str, other: int, peer: str) -> None:
    path = f"/proc/{os.getpid()}/fd/{other}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", peer, "netns", path)


def _address(name: str, addresses: dict[int, str]) -> None:
    Path(f"/proc/sys/net/ipv6/conf/{name}/accept_dad").write_text("0")
    Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    run("ip", "link", "set", name, "up")
    for family, address in addresses.items():
        text = f"{address}/{LENGTH[family]}"
        run("ip", "address", "add", text, "dev", name, *_nodad(text))


def _nodad(address: str) -> tuple[str, ...]:
    return ("nodad",) if ":" in address else ()


@contextlib.contextmanager
def _inside(target: int) -> Iterator[None]:
    """Be in another network namespace for a while (this thread alone)."""
    with open("/proc/thread-self/ns/net") as home:
        enter(target)
        try:
            yield
        finally:
            enter(home.fileno())


def enter(target: int) -> None:
    """Move this thread into a network namespace. Raise OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(target, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def started(tree: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the inside of a host in this thread's network namespace."""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += [sys.executable, "-m", "tests.live.hosts.inside", str(tree)]
    host = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert host.stdout is not None
        if host.stdout.readline() != "started\n":
            raise RuntimeError(f"{tree} did not start")
        yield host
    finally:
        assert host.stdin is not None
        with host:  # which closes its pipes
            host.stdin.close()  # process 1 ends, and with it all others
            try:
                host.wait(10)
            except subprocess.TimeoutExpired:
                host.kill()


def _settled() -> frozenset[tuple[str, int]]:
    """Wait until no socket has come or gone for a while, and return those that listen."""
    started = changed = time.monotonic()
    sockets = _listening()
    while time.monotonic() - changed < QUIET and time.monotonic() - started < PATIENCE:
        time.sleep(0.1)
        now = _listening()
        if now != sockets:
            sockets, changed = now, time.monotonic()
    return sockets


def _listening() -> frozenset[tuple[str, int]]:
    """Return (hexadecimal address, port) of this namespace's listening TCP sockets."""
    sockets = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == "0A":
                sockets.add((address, int(port, 16)))
    return frozenset(sockets)


def _probe(client: int, ports: Sequence[int], sources: Sequence[str]) -> list[Cell]:
    tasks = [(HOST[6 if ":" in s else 4], port, s) for port, s in product(ports, sources)]
    with ThreadPoolExecutor(24, initializer=enter, initargs=(client,)) as pool:
        return list(pool.map(lambda task: probe(*task), tasks))


def log_of(host: subprocess.Popen[str]) -> str:
    """Return what the host's programs printed, read through process 1's own root."""
    logs = []
    for path in sorted((root_of(host) / "run/sslint").glob("*.log")):
        logs.append(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}")
    return "\n".join(logs)


def root_of(host: subprocess.Popen[str]) -> Path:
    """Return a host's root directory, as it can be opened from outside."""
    child = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()[0]
    return Path(f"/proc/{child}/root")
