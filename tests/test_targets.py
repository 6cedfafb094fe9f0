"""What PATH may be, and which files the flags and the configuration add."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sslint import config, engine, targets
from sslint.checker import check
from sslint.cli import main
from sslint.errors import NothingToCheckError, UsageError

NGINX = "events {}\nhttp { server { listen 80; } }\n"


def host(path: Path) -> Path:
    (path / "etc/nginx").mkdir(parents=True)
    (path / "etc/nginx/nginx.conf").write_text(NGINX)
    return path


def names(*paths: Path, **settings: object) -> list[str]:
    return [t.name for t in targets.find([str(p) for p in paths], **settings)]  # type: ignore[arg-type]


def test_a_repository_of_hosts_beside_a_directory_with_a_mark(tmp_path: Path) -> None:
    host(tmp_path / "hosts/a")
    host(tmp_path / "hosts/b")
    (tmp_path / "nftables").mkdir()
    assert names(tmp_path) == ["hosts/a", "hosts/b"]
    assert names(tmp_path, excluded=[str(tmp_path / "hosts/a")]) == ["hosts/b"]


def test_an_etc_that_is_a_link_within_the_repository(tmp_path: Path) -> None:
    host(tmp_path / "common")
    (tmp_path / "hosts/a").mkdir(parents=True)
    (tmp_path / "hosts/a/etc").symlink_to("../../common/etc")
    found = {t.name: t for t in targets.find([str(tmp_path)])}
    assert found["hosts/a"].tree.read("/etc/nginx/nginx.conf").text == NGINX


def test_root_is_what_slash_means_and_path_is_what_is_read(tmp_path: Path) -> None:
    base, other = host(tmp_path / "base"), host(tmp_path / "other")
    (other / "etc/nginx/nginx.conf").write_text("# other\n")
    for path in (other, other / "etc"):
        (target,) = targets.find([str(path)], root=str(base))
        assert target.tree.read("/etc/nginx/nginx.conf").text == "# other\n"


def test_two_files_for_one_place_are_refused(tmp_path: Path) -> None:
    a, b = host(tmp_path / "a"), host(tmp_path / "b")
    with pytest.raises(UsageError, match="already"):
        names(a / "etc/nginx/nginx.conf", b / "etc/nginx/nginx.conf")


@pytest.mark.parametrize("text", ["x" * 5000, "a\0b", "fifo"])
def test_paths_that_are_no_file(tmp_path: Path, text: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError):
        names(tmp_path / text)


def test_a_file_that_nothing_recognises_is_not_green(tmp_path: Path, capsys) -> None:
    (tmp_path / "x").write_text("hello\n")
    assert main(["check", str(tmp_path / "x")]) == 3
    assert "is not a server configuration" in capsys.readouterr().out


def test_announced(tmp_path: Path, capsys) -> None:
    host(tmp_path)
    zone = tmp_path / "zone"
    zone.write_text("$ORIGIN example.org.\n@ MX ten mail\n")

    def unread(*arguments: str) -> list[tuple]:
        assert main(["check", str(tmp_path), "--format", "json", *arguments]) == 0
        return [(u["path"], u["line"]) for u in json.loads(capsys.readouterr().out)["unread"]]

    assert unread() == []
    assert unread("--announced", str(zone)) == [("zone", 2)]
    (tmp_path / ".sslint.yaml").write_text("announced: [zone]\nfirewall: none\n")
    assert unread() == [("zone", 2)]
    assert main(["check", str(tmp_path), "--announced", "nowhere"]) == 2


def test_paths_of_the_configuration_are_relative_to_it_and_stay_within(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    host(tmp_path / "w")
    (tmp_path / "outside").write_text("*filter\nCOMMIT\n")
    (tmp_path / "w/.sslint.yaml").write_text("firewall: [../outside]\n")
    assert main(["check", str(tmp_path / "w")]) == 2
    (tmp_path / "w/rules").write_text("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")
    (tmp_path / "w/.sslint.yaml").write_text("firewall: [rules]\n")
    assert main(["check", str(tmp_path / "w")]) != 2


def test_aliases_do_not_make_a_configuration_immense(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    (tmp_path / "c.yaml").write_text("\n".join(lines))
    with pytest.raises(UsageError, match="holds more"):
        config.load([], explicit=str(tmp_path / "c.yaml"))


SITE = "server {\n    listen 443 ssl;\n    server_name a.example.org;\n}\n"


def test_an_nginx_conf_of_server_blocks_alone_is_a_site(tmp_path: Path) -> None:
    file = tmp_path / "web/nginx.conf"
    file.parent.mkdir()
    file.write_text("upstream app { server app:3000; }\n" + SITE)
    for path in (file, file.parent):
        (target,) = targets.find([str(path)])
        assert target.tree.read("/etc/nginx/nginx.conf").text.startswith("events {}")
    file.write_text("events {}\nhttp {\n" + SITE + "}\n")
    (target,) = targets.find([str(file)])
    assert target.tree.read("/etc/nginx/nginx.conf").text == file.read_text()


@pytest.mark.parametrize(
    "text",
    [
        SITE,  # the certificate may be in nginx.conf
        "server {\n    listen 443;\n    include ssl.conf;\n}\n",  # and `ssl on` there
        "stream {\n    server { listen 5432; proxy_pass 127.0.0.1:5433; }\n}\n",
    ],
)
def test_a_part_of_nginx_s_configuration_is_not_judged_by_what_it_lacks(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "part.conf").write_text(text)
    result = check(targets.find([str(tmp_path / "part.conf")]), engine.bundled())
    assert [finding.message for finding in result.findings] == []
    assert len(result.hosts[0].sockets) == 1


def test_a_part_of_dovecot_s_conf_d_is_not_its_whole_configuration(tmp_path: Path) -> None:
    (tmp_path / "20-imap.conf").write_text("service imap-login {\n  inet_listener imap {\n  }\n}\n")
    (target,) = targets.find([str(tmp_path / "20-imap.conf")])
    main = target.tree.read("/etc/dovecot/dovecot.conf").text
    assert "!include /elsewhere/the-rest-of-dovecot.conf" in main
    assert target.assumed


def test_links_that_are_not_followed_are_named_where_there_is_nothing_to_check(
    tmp_path: Path,
) -> None:
    (tmp_path / "top/conf").mkdir(parents=True)
    (tmp_path / "top/.git").mkdir()
    (tmp_path / "nginx.conf").write_text("events {}\n")
    (tmp_path / "top/conf/nginx.conf").symlink_to("../../nginx.conf")
    (tmp_path / "top/hosts").symlink_to("/nonexistent")
    (tmp_path / "top/inside").symlink_to("conf")
    with pytest.raises(NothingToCheckError) as caught:
        targets.find([str(tmp_path / "top")])
    named = [line for line in (caught.value.tip or "").splitlines() if "symbolic link" in line]
    assert [Path(line.split()[0]).name for line in named] == ["hosts", "nginx.conf"]
    assert all(line.endswith(" and is not followed; name its target") for line in named)


def test_settings_below_a_path_are_said_not_to_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "deploy/etc/nginx").mkdir(parents=True)
    (tmp_path / "deploy/etc/nginx/nginx.conf").write_text("events {}\nhttp {}\n")
    (tmp_path / "deploy/.sslint.yaml").write_text("firewall: none\n")
    main(["check", str(tmp_path)])
    said = capsys.readouterr().err
    assert "deploy/.sslint.yaml is not read (none is); check its directory by itself" in said
    (tmp_path / ".sslint.yml").write_text("firewall: none\n")
    main(["check", str(tmp_path)])
    assert "deploy/.sslint.yaml is not read (" in capsys.readouterr().err
    main(["check", str(tmp_path / "deploy")])
    main(["check", str(tmp_path), "--no-config"])
    assert "is not read" not in capsys.readouterr().err
