"""The command line: one function a command. The only place that prints or exits."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sslint.arguments import FAIL_ON, outputs
from sslint.arguments import parse as parse_arguments
from sslint.budgets import (
    Budgets,
    ExhaustedError,
    OutOfTimeError,
    begin,
    end,
    last_stop,
    shortage,
)
from sslint.errors import NothingToCheckError, SslintError, UsageError
from sslint.plain import clean, harmless

if TYPE_CHECKING:
    from sslint.ask import Ask
    from sslint.changes import HostChange
    from sslint.config import Config
    from sslint.engine import Rule
    from sslint.host import Host
    from sslint.policy import Policy
    from sslint.result import Result
    from sslint.revisions import Proposed

FOUND, INCOMPLETE, BUG = 1, 3, 4


def entry() -> None:
    """Run as a program."""
    status = program()
    gc.freeze()  # the process ends: a last look for cycles would take a sixth of a short run
    sys.exit(status)


def program(arguments: Sequence[str] | None = None) -> int:
    """Run a command in a process of its own, which ends where nothing else has ended it."""
    last_stop.start(Budgets())
    try:
        return main(arguments)
    finally:
        last_stop.stop()  # a signal that comes when the interpreter goes down would kill it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status (README, "Exit status")."""
    # A run is short and makes no garbage in cycles: collecting it is a tenth of the time.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # one that is not UTF-8 cannot show every name
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else arguments
    token = begin(None)  # a run sets its own budget, and leaves none behind
    try:
        status = _guarded(lambda: _run(words))
    finally:
        end(token)
    return _guarded(_flush) or status


def _run(words: Sequence[str]) -> int:
    try:
        options = parse_arguments(words)
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    except OSError as error:
        _no_output(error)
        return 0
    return _COMMANDS[options.command](options)


def _guarded(action: Callable[[], int]) -> int:
    """Do something and return its status, that of its error if it fails."""
    try:
        return action()
    except SslintError as error:
        _complain(str(error), error.tip)
        return INCOMPLETE if _lacks(error) else error.exit_code
    except KeyboardInterrupt:
        return 130
    except (ExhaustedError, OutOfTimeError) as error:
        _complain(str(error))
        return INCOMPLETE
    except BaseException as error:
        if short := shortage(error):
            _complain(short)
            return INCOMPLETE
        if os.environ.get("SSLINT_DEBUG") or not isinstance(error, Exception):
            raise
        # A bug: say what to report, whatever it is.
        _complain(
            f"internal error: {type(error).__name__}",
            "This is a bug in sslint. Run again with SSLINT_DEBUG=1 and report what it prints.",
        )
        return BUG


def _lacks(error: BaseException | None) -> bool:
    """Tell whether an error is told for another that says what the system has no more of."""
    while error is not None and not shortage(error):
        error = error.__context__
    return error is not None


# -- output -------------------------------------------------------------------------------------


def _complain(problem: str, tip: str | None = None) -> None:
    """Say on stderr what is wrong; it may quote a file."""
    said = [f"sslint: {clean(problem)}", *(f"  {clean(line)}" for line in (tip or "").splitlines())]
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(harmless("".join(f"{line}\n" for line in said)))


def _warn(text: str) -> None:
    _complain(f"warning: {text}")


def _write(text: str, *, commands: bool = False) -> None:
    """Print a part of the report. Raise UsageError if the output takes no more.

    `commands`: it is made of commands to the program that records it, and of nothing else.
    """
    if sys.stdout is None:
        raise UsageError("the report cannot be written: standard output is closed")
    try:
        sys.stdout.write(text if commands else harmless(text))
    except OSError as error:
        _no_output(error)


def _flush() -> int:
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            _no_output(error)
    return 0


def _no_output(error: OSError) -> None:
    """Print nothing from now on; the reader (`sslint check | head`) has gone."""
    with contextlib.suppress(OSError):  # a stdout without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        raise UsageError(f"the report cannot be written: {error.strerror}")


def _print_json(data: Any) -> None:
    import json

    _write(json.dumps(data, indent=2) + "\n")


def _as_json(options: argparse.Namespace, config: Config) -> bool:
    return bool(config.get("format", options.format) == "json")


# -- commands -----------------------------------------------------------------------------------


def _config(options: argparse.Namespace, paths: Sequence[str]) -> Config:
    from sslint import config

    return config.load(
        paths,
        explicit=options.config,
        disabled=options.no_config,
        revision=options.config_from,
    )


def _check(options: argparse.Namespace) -> int:
    from sslint import engine, inputs, silence
    from sslint.checker import check
    from sslint.result import Result

    wanted = outputs(options.output)
    paths = options.paths or inputs.default_paths(options)
    config = _config(options, paths)
    every = [*engine.bundled(), *_own_rules(config)]
    policy = _policy(config, every)
    rules, deselected = engine.select(
        every,
        config.many("select", options.select),
        config.many("ignore", options.ignore),
    )
    ignores = not config.get("no_ignores", options.no_ignores)
    baseline = _baseline(config, options)
    try:
        targets = inputs.find(options, config, paths, _warn)
        inputs.expect(config, targets)
        with _progress() as told:
            result = check(
                targets,
                rules,
                deselected=deselected,
                ignores=ignores,
                policy=policy,
                told=told,
                jobs=_jobs(options),
            )
        if result.empty:
            raise _nothing(result.hosts, paths)
    except (NothingToCheckError, ExhaustedError):
        _report(Result([]), options, config, wanted)
        raise
    result.proposed = _proposed(config, paths)
    for unused in policy.unused(result.met) if policy is not None else ():
        _warn(unused)
    for stale in result.stale_acknowledgements:
        _warn(stale)
    if baseline is not None:
        needed, now = bool(config.values.get("require_reason")), result.hosts[0].now
        silence.apply_baseline(result, *baseline, reasons=needed, now=now)
    if options.against is not None:
        _leave_old(options, result, paths)
    if options.write_baseline is not None:
        old = baseline[1] if baseline is not None else None
        silence.write_baseline(result, options.write_baseline, old)
    fail_on = config.get("fail_on", options.fail_on, "error")
    result.failing = _failing(fail_on)
    quiet = bool(config.get("quiet", options.quiet))
    if not options.paths and _is_text(options, config) and not quiet:
        _complain(f"checked {', '.join(paths)}")
    _report(result, options, config, wanted)
    if result.failing.intersection(one.severity for one in result.certain):
        return FOUND
    return INCOMPLETE if result.incomplete or (fail_on == "unknown" and result.doubtful) else 0


def _failing(fail_on: str) -> frozenset[str]:
    """Return the severities that make the exit status 1."""
    if fail_on in ("never", "unknown"):
        return frozenset({"error"} if fail_on == "unknown" else ())
    return frozenset(FAIL_ON[: FAIL_ON.index(fail_on) + 1])


def _jobs(options: argparse.Namespace) -> int | None:
    """Return in how many processes hosts are judged; None: in as many as pay."""
    return 1 if options.live else options.jobs


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None] | None]:
    """Show on a terminal how far a run is that takes over a second; nothing on a pipe."""
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from sslint.reports.progress import Progress

    shown = Progress(sys.stderr)
    try:
        yield shown
    finally:
        shown.clear()


def _policy(config: Config, rules: Sequence[Rule]) -> Policy | None:
    """Return what the configuration says of severities and reasons, if it says anything."""
    if not any(key in config.values for key in ("severity", "require_reason")):
        return None
    from sslint import policy

    return policy.parse(config.values, config.error, rules)


def _leave_old(options: argparse.Namespace, result: Result, paths: Sequence[str]) -> None:
    """Leave out the findings that a commit had already."""
    from sslint import changes, sides
    from sslint.tree.writing import scratch

    if len(paths) != 1:
        raise UsageError("check --against: takes one PATH")
    with scratch() as made:
        old = sides.against(options.against, paths[0], _checking(options), made / "old")
    changes.leave_old(result, old.report)


def _report(
    result: Result, options: argparse.Namespace, config: Config, wanted: Sequence[tuple[str, str]]
) -> None:
    """Write the files that are asked for, and print the report; text says nothing of no host."""
    verbose = bool(config.get("verbose", options.verbose))
    if wanted or not _is_text(options, config):
        from sslint.reports.outputs import report, write

        for name, path in wanted:
            write(result, name, path, verbose=verbose)
    if not _is_text(options, config):
        name = config.get("format", options.format)
        _write(report(result, name), commands=name == "github")
    elif result.hosts:
        from sslint.reports.terminal import Painter, coloured, columns, linked
        from sslint.reports.text import check_text

        paint = Painter(coloured(config.get("color", options.color, "auto")), linked=linked())
        quiet = bool(config.get("quiet", options.quiet)) and not verbose
        _write(check_text(result, paint, width=columns(), verbose=verbose, quiet=quiet))
        if _is_annotated(options, config):
            from sslint.reports import github

            _write(github.report(result), commands=True)


def _is_text(options: argparse.Namespace, config: Config) -> bool:
    return bool(config.get("format", options.format, "text") == "text")


def _is_annotated(options: argparse.Namespace, config: Config) -> bool:
    """Tell whether GitHub runs it, and nothing says which format is wanted."""
    return (
        os.environ.get("GITHUB_ACTIONS") == "true" and config.get("format", options.format) is None
    )


def _proposed(config: Config, paths: Sequence[str]) -> Proposed | None:
    """Return what the checked tree changes of the configuration, if that is another commit's."""
    revision = config.revision
    if revision is None:
        return None
    from sslint.config import changes
    from sslint.revisions import Proposed

    path = "" if config.path is None else config.path.relative_to(revision.top).as_posix()
    return Proposed(revision.name, revision.id, path, tuple(changes(config, paths)))


def _baseline(config: Config, options: argparse.Namespace) -> tuple[str, bytes] | None:
    """Return the name and the bytes of the baseline, if there is one."""
    from sslint import tree as trees

    name = options.baseline
    try:
        if name is not None:
            return name, trees.read_named(name)
        if "baseline" not in config.values:
            return None
        return next(config.files(config.values["baseline"], ("baseline",)))
    except trees.TreeError as error:
        raise UsageError(f"baseline: {error}") from None
    except OSError as error:
        raise UsageError(f"baseline: {name}: {error.strerror}") from None


def _own_rules(config: Config) -> list[Rule]:
    """Return the rules that the configuration names."""
    from sslint import engine

    return [
        rule
        for index, text in enumerate(config.values.get("rules", ()))
        for rule in engine.load(
            config.files(text, ("rules", index), ending=".yaml", limit=engine.MAX_RULE)
        )
    ]


def _endpoints(options: argparse.Namespace) -> int:
    from sslint import host, inputs
    from sslint.judged import judge
    from sslint.reports.data import endpoints_report
    from sslint.result import Result

    paths = options.paths or inputs.default_paths(options)
    config = _config(options, paths)
    try:
        targets = inputs.find(options, config, paths, _warn)
        if len(targets) == 1:
            hosts = [host.read(targets[0])]
        else:
            from sslint.jobs import each

            hosts = list(each(targets, host.read, jobs=_jobs(options)))
        if Result(hosts).empty:
            raise _nothing(hosts, paths)
    except (NothingToCheckError, ExhaustedError):
        if _as_json(options, config):
            _print_json(endpoints_report([]))
        raise
    if _as_json(options, config):
        _print_json(endpoints_report(hosts))
    else:
        from sslint.reports.table import endpoints_text
        from sslint.reports.terminal import Painter, coloured, columns

        paint = Painter(coloured(config.get("color", options.color, "auto")))
        _write(endpoints_text(hosts, columns(), paint))
    return 0 if all(judge(host).enough for host in hosts) else INCOMPLETE


def _nothing(hosts: Sequence[Host], paths: Sequence[str]) -> NothingToCheckError:
    """Return the error for hosts without anything to check; a ruleset may lie there unused."""
    from sslint.firewalls.discovery import inactive
    from sslint.targets import looked_for

    asleep = [
        f"{host.tree.name(candidate.path)} is not in force: {candidate.inactive}"
        for host in hosts
        for candidate in inactive(host.tree, host.network)
    ]
    return NothingToCheckError(
        f"{', '.join(paths) or '.'}: nothing to check; looked for {looked_for()}",
        tip="; ".join(asleep) or None,
    )


def _trace(options: argparse.Namespace) -> int:
    from sslint import ask, host, inputs, ports

    paths = list(options.words)
    question: Ask | None = None
    if options.packets is None:
        if not paths:
            raise UsageError("trace needs a PORT, or --packets FILE")
        if len(paths) == 1 and os.path.isdir(paths[0]):
            raise UsageError("trace needs a PORT after PATH, such as 443, 443/udp or https")
        transport, number = ports.parse(paths.pop())
    if not paths and not options.firewall:
        paths = inputs.default_paths(options)
    config = _config(options, paths)
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
    targets = inputs.find(options, config, paths, _warn)
    if len(targets) > 1:
        names = ", ".join(target.name for target in targets)
        raise UsageError(f"trace needs one host, but there are several: {names}")
    one = host.read(targets[0])
    if question is None:
        _judge_packets(options, config, one)
        met: bool | None = True
    else:
        met = _answer(options, config, one, question)
    if met is None or any(problem.decisive for problem in one.problems):
        return INCOMPLETE
    return 0 if met else FOUND


def _answer(options: argparse.Namespace, config: Config, one: Host, question: Ask) -> bool | None:
    """Print who reaches a port, and tell whether it is as expected; None where it is not known."""
    from sslint import ask
    from sslint.reports import trace

    answers = ask.answers(one, question)
    expected = options.expect
    if _as_json(options, config):
        found = trace.data(one, question, answers, expected=expected)
        if question.is_one_source:
            found |= trace.packet_data(one, question)
        _print_json(found)
    else:
        verbose = bool(config.get("verbose", options.verbose))
        _write(trace.text(one, question, answers, verbose=verbose, expected=expected))
    return True if expected is None else ask.is_met(answers, expected)


def _judge_packets(options: argparse.Namespace, config: Config, one: Host) -> None:
    from sslint.reports import packets

    last_stop.stop()  # the user names the packets, and may name many
    with _lines(options.packets) as lines:
        for line in packets.packets(one, lines, as_json=_as_json(options, config)):
            _write(f"{line}\n")


def _lines(name: str) -> Any:
    from sslint.tree import open_named

    try:
        stream = open_named(name)
    except OSError as error:
        raise UsageError(f"--packets: {name}: {error.strerror}") from None
    return io.TextIOWrapper(stream, encoding="utf-8", errors="replace")


def _fix(options: argparse.Namespace) -> int:
    from functools import partial

    from sslint import engine, inputs, patches
    from sslint.checker import check, findings

    paths = options.paths or inputs.default_paths(options)
    config = _config(options, paths)
    named, _ = engine.select([*engine.bundled(), *_own_rules(config)], options.rule or ())
    rules, deselected = _configured_rules(config)
    wanted = patches.wanted(named, allow_open=bool(options.allow_open))
    if options.interactive:
        result = check(inputs.find(options, config, paths, _warn), rules, deselected=deselected)
        wanted = patches.ask(result, wanted, _answer_of)
    found = inputs.find(options, config, paths, _warn)
    result = check(found, rules, deselected=deselected, wanted=wanted)
    if result.empty:
        raise _nothing(result.hosts, paths)
    judge = partial(findings, rules=[*rules, *deselected])
    made = patches.make(result, wanted, judge, allow_open=bool(options.allow_open))
    if options.write:
        patches.clean_up(result.hosts)
        patches.write(made.patches)
        for patch in made.patches:
            _complain(f"changed {patch.path}")
    else:
        _write_exactly(made.diff)
    for line in (*(() if options.write else made.hints), *made.notes):
        _complain(line)
    if result.incomplete:
        _complain("not all could be judged: sslint check says what was not read")
        return INCOMPLETE
    return FOUND if made.left or (made.patches and not options.write) else 0


_OF_HOSTS = ("root", "firewall", "announced", "host_ip", "live", "now")


def _diff(options: argparse.Namespace) -> int:
    from sslint import changes as comparing
    from sslint import inputs, sides
    from sslint.reports import changes as reports
    from sslint.result import UNREAD_RULE

    open_ports = comparing.ports_of(options.fail_on_open)
    config = _config(options, ["."])
    rulesets = [options.old_firewall or [], options.new_firewall or []]
    incomplete, fail_on = False, config.get("fail_on", options.fail_on, "error")
    if any(rulesets):
        if not all(rulesets) or options.paths or options.against:
            raise UsageError("diff: --old-firewall and --new-firewall go together, and alone")
        if of_hosts := [flag for flag in _OF_HOSTS if getattr(options, flag)]:
            flag = of_hosts[0].replace("_", "-")
            raise UsageError(f"diff: --{flag} is about hosts; rulesets alone are compared")
        inputs.limit(options)
        old, new = (
            sides.ruleset(texts, flag)
            for texts, flag in zip(rulesets, ("--old-firewall", "--new-firewall"), strict=True)
        )
        found = [comparing.of_rulesets(old, new)]
    else:
        found, incomplete = _compared(options)
    incomplete |= any(one.not_compared for one in found)
    form = config.get("format", options.format, "text")
    if form == "json":
        _print_json(reports.data(found))
    elif form == "html":
        from sslint.reports.page import changes as page

        _write(page.report(found))
    else:
        _write((reports.markdown if form == "markdown" else reports.text)(found))
    certain = [one for change in found for one in change.found if one["rule"] != UNREAD_RULE]
    if _failing(fail_on).intersection(one["severity"] for one in certain) or comparing.opens_any(
        found, open_ports
    ):
        return FOUND
    if incomplete:
        return INCOMPLETE
    if comparing.may_open_any(found, open_ports):
        _complain("--fail-on-open: cannot tell whether more sources reach one of these ports")
        return INCOMPLETE
    return 0


def _compared(options: argparse.Namespace) -> tuple[list[HostChange], bool]:
    """Return what differs between the two sides that are named, and whether one is incomplete."""
    from sslint import inputs, sides
    from sslint.tree.writing import scratch

    check_path = _checking(options)
    with scratch() as made:
        one, two = made / "old", made / "new"
        if options.against is not None:
            if len(options.paths) > 1:
                raise UsageError("diff --against: takes one PATH")
            path = (options.paths or inputs.default_paths(options))[0]
            old = sides.against(options.against, path, check_path, one)
            new = sides.read(path, check_path, two)
        elif len(options.paths) == 2:
            old = sides.read(options.paths[0], check_path, one)
            new = sides.read(options.paths[1], check_path, two)
        else:
            tip = f"--against {options.paths[0]} compares with a commit" if options.paths else ""
            raise UsageError("diff: name OLD and NEW, or --against REV", tip=tip)
        found = sides.compare(old, new)
    for change in found if options.firewall or options.live else ():
        change.notes.append("the firewall of each side: both have the one that is named")
    return found, old.incomplete or new.incomplete


def _checking(options: argparse.Namespace) -> Callable[[str, str | None], Result]:
    """Return what checks a PATH; one of a commit has that commit's settings."""

    def check_path(path: str, revision: str | None) -> Result:
        if revision is None or options.config_from is None:
            return _checked(options, [path])
        if options.config_from != revision:
            raise UsageError(f"--config-from: {revision} has settings of its own")
        own = argparse.Namespace(**{**vars(options), "config_from": None})
        return _checked(own, [path])

    return check_path


def _checked(options: argparse.Namespace, paths: Sequence[str]) -> Result:
    """Check paths under the configuration beside them."""
    from sslint import inputs
    from sslint.checker import check

    config = _config(options, paths)
    rules, deselected = _configured_rules(config)
    found = inputs.find(options, config, paths, _warn)
    return check(found, rules, deselected=deselected)


def _configured_rules(config: Config) -> tuple[list[Rule], list[Rule]]:
    """Return the rules that the configuration selects, and those that it ignores."""
    from sslint import engine

    return engine.select(
        [*engine.bundled(), *_own_rules(config)],
        config.many("select", None),
        config.many("ignore", None),
    )


def _write_exactly(text: str) -> None:
    """Print a patch, which is applied: a byte that is not UTF-8 stays what it is."""
    if sys.stdout is not None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape", newline="")
    _write(text)


_ANSWER = 1024  # characters of an answer


def _answer_of(question: str) -> bool:
    """Ask on the terminal; no answer is no."""
    if sys.stdin is None or sys.stderr is None:
        return False
    sys.stderr.write(f"{harmless(question)} [y/N] ")
    sys.stderr.flush()
    try:
        answer = line = sys.stdin.readline(_ANSWER)
        while len(line) == _ANSWER and line[-1] != "\n":  # no part of it answers the next one
            line = sys.stdin.readline(_ANSWER)
    except UnicodeDecodeError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _init(options: argparse.Namespace) -> int:
    from sslint import init, targets
    from sslint.yamlfile import display

    if not os.path.isdir(options.path):
        raise UsageError(f"{options.path}: no such directory")
    path = init.write(targets.confined(options.path))
    _write(f"wrote {clean(display(path))}\n")
    return 0


def _explain(options: argparse.Namespace) -> int:
    from sslint import engine
    from sslint.reports.rules import explain, rule_data
    from sslint.reports.terminal import columns

    config = _config(options, ["."])
    found, _ = engine.select([*engine.bundled(), *_own_rules(config)], [options.rule])
    if len(found) != 1 or found[0].name != options.rule:
        names = ", ".join(rule.name for rule in found)
        raise UsageError(f"{options.rule} is a family; name one of its rules: {names}")
    if _as_json(options, config):
        _print_json(rule_data(found[0]))
    else:
        _write(explain(found[0], columns()))
    return 0


def _rules(options: argparse.Namespace) -> int:
    if options.words:
        return _new_rule(options.words)
    from sslint import engine
    from sslint.reports.rules import rule_data, table
    from sslint.reports.terminal import columns

    config = _config(options, ["."])
    rules = [*engine.bundled(), *_own_rules(config)]
    if _as_json(options, config):
        _print_json({"version": 1, "rules": [rule_data(rule) for rule in rules]})
    else:
        _write(table(rules, columns()))
    return 0


def _new_rule(words: Sequence[str]) -> int:
    """Write a rule to begin with, and say where and what is next."""
    if len(words) != 2 or words[0] != "new":
        raise UsageError("rules: use `sslint rules` or `sslint rules new NAME`")
    from sslint import scaffold

    *files, then = scaffold.create(words[1])
    _write("".join(f"wrote {path}\n" for path in files) + f"next: {then}\n")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "check": _check,
    "endpoints": _endpoints,
    "trace": _trace,
    "fix": _fix,
    "diff": _diff,
    "init": _init,
    "explain": _explain,
    "rules": _rules,
}
