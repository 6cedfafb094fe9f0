"""The command line: arguments to one function a command. The only place that prints or exits."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslint import __version__
from sslint.config import FAIL_ON, Config
from sslint.errors import NothingToCheckError, SslintError, UsageError

if TYPE_CHECKING:
    from sslint.ask import Ask
    from sslint.engine import Rule
    from sslint.host import Host
    from sslint.netfilter.model import Ruleset
    from sslint.targets import Stream, Target

FOUND, INCOMPLETE, BUG = 1, 3, 4
FORMATS = ("text", "json")


def entry() -> None:
    """Run as a program."""
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status (README, "Exit status")."""
    # A run is short and makes no garbage in cycles: collecting it is a tenth of the time.
    gc.disable()
    try:
        options = _parser().parse_args(arguments)
        return int(options.run(options))
    except SslintError as error:
        _complain(str(error), error.tip)
        return error.exit_code
    except BrokenPipeError:
        # The reader went away (`sslint check | head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # a bug: say what to report, whatever it is
        if os.environ.get("SSLINT_DEBUG"):
            raise
        _complain(
            f"internal error: {type(error).__name__}: {error}",
            "This is a bug in sslint. Run again with SSLINT_DEBUG=1 and report what it prints.",
        )
        return BUG


def _complain(problem: str, tip: str | None) -> None:
    """Say what is wrong; it may quote a file."""
    from sslint.reports.data import clean

    said = f"sslint: {problem}" + (f"\n  {tip}" if tip else "")
    for line in said.split("\n"):
        print(clean(line), file=sys.stderr)


# -- arguments ----------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sslint",
        description="Will TLS reach the people it is meant for? Checks server, firewall and "
        "certificate configuration together, from files alone.",
    )
    parser.add_argument("--version", action="version", version=f"sslint {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="report where the sides disagree")
    check.add_argument(
        "paths", nargs="*", metavar="PATH", help="an etc/, a root, a repository, files"
    )
    _reading(check)
    _printing(check)
    check.add_argument("--select", action="append", metavar="NAME|FAMILY", help="only these rules")
    check.add_argument("--ignore", action="append", metavar="NAME|FAMILY", help="not these rules")
    check.add_argument("--baseline", metavar="FILE", help="leave out findings that are in FILE")
    check.add_argument("--write-baseline", metavar="FILE", help="write the findings to FILE")
    check.add_argument("--no-ignores", action="store_true", help="let no comment silence a finding")
    check.add_argument("--fail-on", choices=FAIL_ON, help="the lowest severity that exits 1")
    check.add_argument("-v", "--verbose", action="store_true", help="show every endpoint")
    check.set_defaults(run=_check)

    endpoints = commands.add_parser("endpoints", help="show each listener and who reaches it")
    endpoints.add_argument("paths", nargs="*", metavar="PATH")
    _reading(endpoints)
    _printing(endpoints)
    endpoints.set_defaults(run=_endpoints)

    trace = commands.add_parser("trace", help="say who reaches a port, and which rule decides")
    trace.add_argument("words", nargs="*", metavar="[PATH] PORT[/udp]")
    trace.add_argument(
        "--from",
        dest="source",
        metavar="ADDR|CIDR",
        help="only these clients; `public` is the whole Internet",
    )
    trace.add_argument("--to", dest="destination", metavar="ADDR", help="an address of this host")
    trace.add_argument("--iif", metavar="IFACE", help="the interface they come in by")
    trace.add_argument("--family", choices=("ipv4", "ipv6"), help="default: both")
    trace.add_argument(
        "--expect", choices=("open", "closed", "limited"), help="exit 1 if it is otherwise"
    )
    trace.add_argument("-v", "--verbose", action="store_true", help="show each rule on the way")
    trace.add_argument("--packets", metavar="FILE", help="judge the packets of a JSON-lines file")
    _reading(trace)
    _printing(trace)
    trace.set_defaults(run=_trace)

    explain = commands.add_parser("explain", help="say why a rule exists and how to mend")
    explain.add_argument("rule", metavar="RULE")
    _printing(explain)
    explain.set_defaults(run=_explain)

    rules = commands.add_parser("rules", help="list the rules")
    _printing(rules)
    rules.set_defaults(run=_rules)
    return parser


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", metavar="DIR", help="what / means in the files")
    parser.add_argument(
        "--firewall",
        action="append",
        metavar="[KIND=]FILE",
        help="use this ruleset instead of the tree's (repeatable)",
    )
    parser.add_argument(
        "--announced",
        action="append",
        metavar="FILE",
        help="what clients are told: a zone file, autoconfig, autodiscover, mobileconfig or "
        "MTA-STS policy (repeatable)",
    )
    parser.add_argument(
        "--host-ip", action="append", metavar="ADDR", help="an address of this host (repeatable)"
    )
    parser.add_argument(
        "--live", action="store_true", help="compare with the running firewall too (root)"
    )
    parser.add_argument("--now", metavar="DATE", help="judge certificates at this time (ISO 8601)")
    parser.add_argument("--config", metavar="FILE", help="default: .sslint.yaml beside PATH")
    parser.add_argument("--no-config", action="store_true", help="read no configuration")


def _printing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, help="default: text")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")


def _config(options: argparse.Namespace, paths: Sequence[str]) -> Config:
    from sslint import config

    return config.load(paths, explicit=options.config, disabled=options.no_config)


def _targets(options: argparse.Namespace, config: Config, paths: Sequence[str]) -> list[Target]:
    """Return the hosts to read: those of the configuration if it names any, else the paths'."""
    from sslint import config as configs
    from sslint import targets
    from sslint.intent import parse as parse_intent
    from sslint.tree import Tree

    if config.values.get("hosts") and not (options.root or _is_one_host(config, paths)):
        found = configs.targets(config)
    elif paths:
        found = targets.find(
            paths, root=config.get("root", options.root), excluded=_excluded(config)
        )
    else:
        found = [targets.Target("given", Tree(None, base=Path.cwd()))]
    intent = parse_intent(config.values)
    running = _running() if options.live else None
    announced = _announced(config, options)
    rulesets = [targets.ruleset(text) for text in _rulesets(config, options) if text != "none"]
    for target in found:
        target.tree.exclude(_excluded(config))
        target.addresses = (*target.addresses, *_addresses(config, options))
        target.now = _now(config.get("now", options.now))
        target.intent = intent
        target.running = running
        target.versions = {**config.values.get("versions", {}), **target.versions}
        targets.announce(target, announced)
        _firewall(config, target, rulesets, none=_rulesets(config, options) == ["none"])
    return found


def _rulesets(config: Config, options: argparse.Namespace) -> list[str]:
    return config.given("firewall", options.firewall)


def _firewall(
    config: Config,
    target: Target,
    rulesets: Sequence[tuple[str | None, Path | Stream]],
    *,
    none: bool,
) -> None:
    """Give a host the rulesets of the flags or the environment, else of the configuration."""
    from sslint import config as configs
    from sslint import targets

    if none:
        target.no_firewall, target.firewall = True, ()
    elif rulesets:
        kept = () if "hosts" in config.values else target.firewall
        added: list[tuple[str | None, str]] = []
        for index, (kind, source) in enumerate(rulesets):
            name = "stdin" if isinstance(source, targets.Stream) else source.name
            place = targets.ruleset_place(name, index)
            targets.lay(target.tree, place, source)
            added.append((kind, place))
        target.firewall = (*kept, *added)
        target.no_firewall = False
    elif "hosts" not in config.values:
        configs.set_firewall(config, target, config.values.get("firewall"))


def _announced(config: Config, options: argparse.Namespace) -> list[Path | Stream]:
    """Return the files that say what clients are told; named hosts have the configuration's."""
    from sslint.targets import named

    given = [named(text, "--announced") for text in config.given("announced", options.announced)]
    own = () if "hosts" in config.values else config.values.get("announced", ())
    return [*given, *(config.within(text) for text in own)]


def _running() -> Ruleset:
    from sslint.firewalls.live import load_live

    return load_live()


def _excluded(config: Config) -> list[str]:
    return [str(config.base / text) for text in config.many("exclude")]


def _is_one_host(config: Config, paths: Sequence[str]) -> bool:
    """Tell whether the paths name something within the configuration's tree, not all of it."""
    whole = (config.base, *config.base.parents)
    return any(Path(path).resolve() not in whole for path in paths)


def _addresses(config: Config, options: argparse.Namespace) -> list[str]:
    import ipaddress

    addresses = config.many("host_ip", options.host_ip)
    for text in addresses:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise UsageError(f"host_ip: {text!r} is not an address") from None
    return addresses


def _now(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"now: {text!r} is no ISO 8601 date or time") from None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _paths(given: Sequence[str]) -> list[str]:
    """Return the paths to check; without any, the work tree one stands in, else /etc."""
    if given:
        return list(given)
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / ".git").exists():
            return [str(directory)]
    return ["/etc"]


# -- commands -----------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    from sslint import engine, silence
    from sslint.checker import check

    paths = _paths(options.paths)
    config = _config(options, paths)
    fail_on = config.get("fail_on", options.fail_on, "error")
    if fail_on not in FAIL_ON:
        raise UsageError(f"SSLINT_FAIL_ON: {fail_on!r} is none of {', '.join(FAIL_ON)}")
    rules, deselected = engine.select(
        [*engine.bundled(), *_own_rules(config)],
        config.many("select", options.select),
        config.many("ignore", options.ignore),
    )
    targets = _targets(options, config, paths)
    result = check(targets, rules, deselected=deselected, ignores=not options.no_ignores)
    if result.empty:
        raise _nothing(result.hosts, paths)
    baseline = _baseline(config, options)
    if baseline is not None:
        silence.apply_baseline(result, *baseline)
    if options.write_baseline is not None:
        silence.write_baseline(result, options.write_baseline)
    if _format(options) == "json":
        from sslint.reports.data import check_report

        _print_json(check_report(result))
    else:
        from sslint.reports.terminal import Painter, coloured, columns
        from sslint.reports.text import check_text

        if not options.paths:
            print(f"checked {', '.join(paths)}", file=sys.stderr)
        paint = Painter(coloured(options.color))
        sys.stdout.write(check_text(result, paint, width=columns(), verbose=options.verbose))
    if result.incomplete:
        return INCOMPLETE
    failing = FAIL_ON[: FAIL_ON.index(fail_on) + 1] if fail_on != "never" else ()
    return FOUND if any(finding.severity in failing for finding in result.findings) else 0


def _baseline(config: Config, options: argparse.Namespace) -> tuple[str, bytes] | None:
    """Return the name and the bytes of the baseline, if there is one."""
    from sslint import tree as trees

    name = options.baseline or os.environ.get("SSLINT_BASELINE") or None
    try:
        if name is not None:
            return name, trees.read_named(name)
        if "baseline" not in config.values:
            return None
        path = config.found(config.values["baseline"])
        return str(path), trees.read_found(path)[0]
    except trees.TreeError as error:
        raise UsageError(f"baseline: {error}") from None
    except OSError as error:
        raise UsageError(f"baseline: {name}: {error.strerror}") from None


def _own_rules(config: Config) -> list[Rule]:
    from sslint import engine

    return [
        rule for text in config.values.get("rules", ()) for rule in engine.load(config.found(text))
    ]


def _endpoints(options: argparse.Namespace) -> int:
    from sslint import host
    from sslint.checker import Result
    from sslint.judged import is_incomplete

    paths = _paths(options.paths)
    hosts = [host.read(target) for target in _targets(options, _config(options, paths), paths)]
    if Result(hosts).empty:
        raise _nothing(hosts, paths)
    if _format(options) == "json":
        from sslint.reports.data import endpoints_report

        _print_json(endpoints_report(hosts))
    else:
        from sslint.reports.table import endpoints_text
        from sslint.reports.terminal import columns

        sys.stdout.write(endpoints_text(hosts, columns()))
    return INCOMPLETE if any(map(is_incomplete, hosts)) else 0


def _nothing(hosts: Sequence[Host], paths: Sequence[str]) -> NothingToCheckError:
    """Return the error for hosts without anything to check; a ruleset may lie there unused."""
    from sslint.firewalls.discovery import inactive
    from sslint.targets import LOOKED_FOR

    asleep = [
        f"{host.tree.name(candidate.path)} is not in force: {candidate.inactive}"
        for host in hosts
        for candidate in inactive(host.tree, host.network)
    ]
    return NothingToCheckError(
        f"{', '.join(paths) or '.'}: nothing to check; looked for {LOOKED_FOR}",
        tip="; ".join(asleep) or None,
    )


def _trace(options: argparse.Namespace) -> int:
    from sslint import ask, host, ports

    words = list(options.words)
    question: Ask | None = None
    if options.packets is None:
        if not words:
            raise UsageError("trace needs a PORT, or --packets FILE")
        transport, number = ports.parse(words.pop())
    if len(words) > 1:
        raise UsageError(f"trace takes one PATH, not {len(words)}")
    if not words and not options.firewall:
        words = _paths([])
    config = _config(options, words)
    if options.packets is None:
        question = ask.ask(
            transport,
            number,
            source=options.source,
            family=options.family,
            destination=options.destination,
            iif=options.iif,
            named=ask.networks(config.values.get("networks", {})),
        )
    targets = _targets(options, config, words)
    if len(targets) > 1:
        names = ", ".join(target.name for target in targets)
        raise UsageError(f"trace looks at one host, and {words[0]} holds several: {names}")
    one = host.read(targets[0])
    if question is None:
        _judge_packets(options, one)
        met: bool | None = True
    else:
        met = _answer(options, one, question)
    if met is None or any(problem.decisive for problem in one.problems):
        return INCOMPLETE
    return 0 if met else FOUND


def _answer(options: argparse.Namespace, one: Host, question: Ask) -> bool | None:
    """Print who reaches a port, and tell whether it is as expected; None where it is not known."""
    from sslint import ask
    from sslint.reports import trace

    answers = ask.answers(one, question)
    expected = options.expect
    if _format(options) == "json":
        found = trace.data(one, question, answers, expected=expected)
        if question.is_one_source:
            found |= trace.packet_data(one, question)
        _print_json(found)
    else:
        said = trace.text(one, question, answers, verbose=options.verbose, expected=expected)
        sys.stdout.write(said)
    return True if expected is None else ask.is_met(answers, expected)


def _judge_packets(options: argparse.Namespace, one: Host) -> None:
    from sslint.reports import packets

    as_json = _format(options) == "json"
    with _lines(options.packets) as lines:
        for line in packets.packets(one, lines, as_json=as_json):
            print(line)


def _lines(name: str) -> Any:
    import io

    from sslint.tree import open_named

    try:
        stream = open_named(name)
    except OSError as error:
        raise UsageError(f"--packets: {name}: {error.strerror}") from None
    return io.TextIOWrapper(stream, encoding="utf-8", errors="replace")


def _explain(options: argparse.Namespace) -> int:
    from sslint import engine
    from sslint.reports.rules import explain, rule_data

    rule, _ = engine.select(engine.bundled(), [options.rule])
    if len(rule) != 1 or rule[0].name != options.rule:
        raise UsageError(f"{options.rule!r} is a family; name one of its rules")
    if _format(options) == "json":
        _print_json(rule_data(rule[0]))
    else:
        sys.stdout.write(explain(rule[0]))
    return 0


def _rules(options: argparse.Namespace) -> int:
    from sslint import engine
    from sslint.reports.rules import rule_data, table

    rules = engine.bundled()
    if _format(options) == "json":
        _print_json({"version": 1, "rules": [rule_data(rule) for rule in rules]})
    else:
        sys.stdout.write(table(rules))
    return 0


# -- output -------------------------------------------------------------------------------------


def _format(options: argparse.Namespace) -> str:
    chosen = options.format or os.environ.get("SSLINT_FORMAT") or "text"
    if chosen not in FORMATS:
        raise UsageError(f"SSLINT_FORMAT: {chosen!r} is none of {', '.join(FORMATS)}")
    return str(chosen)


def _print_json(data: Any) -> None:
    import json

    print(json.dumps(data, indent=2))
