"""Commands that ACI could not run as they are: arguments alone, and what a shell does before them.

The scripts are run for real, in a shell.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.aci_pods import make_pod

from vnodectl.providers.aci.settings import AciSettings, NodeIdentity
from vnodectl.providers.aci.translate import Known, images_needed, translate
from vnodectl.providers.aci.wrap import Copy, Preparation, script, wrapped
from vnodectl.providers.images import ImageConfig
from vnodectl.runtime.provider import EnvVar, File, Files, Rejected

LINUX = NodeIdentity("node", "release")
WINDOWS = NodeIdentity("node", "release", "Windows")
PLAIN = AciSettings("rg", "eastus")
NGINX = ImageConfig(("/docker-entrypoint.sh",), ("nginx", "-g", "daemon off;"))


def _pod(spec: dict[str, Any] | None = None, **container: Any) -> Any:
    return make_pod({**(spec or {}), "containers": [{"name": "main", "image": "nginx", **container}]})


def _command(pod: Any, image: ImageConfig | None = NGINX, node: NodeIdentity = LINUX) -> list[str] | None:
    known = Known({"nginx": image} if image else {})
    main = translate(pod, PLAIN, node, known)["properties"]["containers"][0]["properties"]
    found: list[str] | None = main.get("command")
    return found


@pytest.mark.parametrize(
    ("container", "command"),
    [
        ({}, None),
        ({"command": ["a"]}, ["a"]),
        ({"command": ["a"], "args": ["b"]}, ["a", "b"]),
        ({"args": ["b"]}, ["/docker-entrypoint.sh", "b"]),
    ],
)
def test_command_and_args_as_kubernetes_combines_them(container: Any, command: list[str] | None) -> None:
    assert _command(_pod(**container)) == command


def test_an_image_without_an_entrypoint_runs_the_arguments() -> None:
    assert _command(_pod(args=["ls", "-l"]), ImageConfig((), ("sh",))) == ["ls", "-l"]


def test_arguments_of_an_image_that_is_not_known_are_rejected() -> None:
    with pytest.raises(Rejected, match="ArgsWithoutCommand") as caught:
        _command(_pod(args=["b"]), None)
    assert caught.value.field == "spec.containers[0].args"


def test_an_image_that_runs_nothing_is_rejected() -> None:
    with pytest.raises(Rejected, match="NoCommand"):
        _command(_pod(workingDir="/x"), ImageConfig())


@pytest.mark.parametrize(
    ("pod", "needed"),
    [
        (_pod(), {}),
        (_pod(command=["a"], args=["b"]), {}),
        (_pod(command=["a"], workingDir="/x"), {}),
        (_pod(args=["b"]), {"nginx": "spec.containers[0].args"}),
        (_pod(workingDir="/x"), {"nginx": "spec.containers[0].workingDir"}),
        (_pod({"hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}]}), {"nginx": "spec.hostAliases"}),
    ],
)
def test_only_images_whose_entrypoint_matters_are_looked_up(pod: Any, needed: dict[str, str]) -> None:
    assert images_needed(pod, PLAIN, LINUX) == needed


def test_what_windows_has_no_shell_for_is_rejected() -> None:
    with pytest.raises(Rejected) as caught:
        _command(_pod(command=["a"], workingDir="C:/x"), node=WINDOWS)
    assert caught.value.field == "spec.containers[0].workingDir"


def test_host_aliases_need_root() -> None:
    pod = _pod({"hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}]})
    with pytest.raises(Rejected) as caught:
        _command(pod, ImageConfig(("x",), user="1000:1000"))
    assert caught.value.field == "spec.hostAliases"
    assert _command(pod, ImageConfig(("x",), user="root"))


def test_host_aliases_become_lines_of_etc_hosts(tmp_path: Path) -> None:
    aliases = [{"ip": "10.1.2.3", "hostnames": ["db", "db.local"]}, {"ip": "::1", "hostnames": ["six"]}]
    command = _command(_pod({"hostAliases": aliases}, command=["true"]))
    assert command is not None
    assert command[:2] == ["/bin/sh", "-c"]
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\tlocalhost\n")
    subprocess.run(["/bin/sh", "-c", command[2].replace("/etc/hosts", str(hosts)), "sh", "true"], check=True)
    assert hosts.read_text() == "127.0.0.1\tlocalhost\n10.1.2.3\tdb db.local\n::1\tsix\n"


def test_the_command_runs_in_its_place_with_its_own_words_and_exit_code(tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "f0").write_text('#!/bin/sh\necho $PWD "$@"; exit 7\n')
    target, place = tmp_path / "a b" / "run.sh", tmp_path / "it's"
    before = Preparation(copies=(Copy(str(stage / "f0"), str(target), 0o755),), directory=str(place))
    ran = subprocess.run(
        wrapped([str(target), "x y", "$HOME"], before), capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.returncode) == (f"{place} x y $HOME\n", 7)
    assert target.stat().st_mode & 0o777 == 0o755


def test_what_cannot_be_prepared_is_said_and_nothing_is_run(tmp_path: Path) -> None:
    before = Preparation(copies=(Copy(str(tmp_path / "missing"), str(tmp_path / "x"), 0o644),))
    ran = subprocess.run(wrapped(["echo", "ran"], before), capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("", 126)
    assert f"vnodectl: cannot prepare {tmp_path / 'x'}" in ran.stderr


def test_the_program_replaces_the_shell() -> None:
    assert script(Preparation(directory="/")).splitlines()[-1] == 'exec "$@"'
    assert wrapped(["a"], Preparation()) == ["a"]


# --- values of Secrets in commands ----------------------------------------------------------------

SECRET = EnvVar("TOKEN", 'it\'s "$HOME" `x`\n', secret=True)
PLAIN_VARIABLE = EnvVar("MODE", "fast")


def _secret(**container: Any) -> Any:
    spec = {"containers": [{"name": "main", "image": "nginx", **container}]}
    return make_pod(spec, env={"main": (SECRET, PLAIN_VARIABLE)})


@pytest.mark.parametrize(
    "container",
    [
        {"command": ["sh", "-c", 'printf "%s|" "$@"', "x", "a b$(TOKEN)$(MODE)", "", "$$(TOKEN)"]},
        {
            "command": ["/usr/bin/printf", "%s|", "a b$(TOKEN)$(MODE)", "", "$$(TOKEN)"],
            "workingDir": "/tmp",
        },
    ],
)
def test_where_there_is_a_shell_a_secret_s_value_is_not_in_the_command(container: Any) -> None:
    command = _command(_secret(**container))
    assert command is not None
    assert SECRET.value not in str(command)
    assert "it's" not in str(command)
    ran = subprocess.run(
        command, env={"TOKEN": SECRET.value, "PATH": os.environ["PATH"]}, capture_output=True, check=True
    )
    assert ran.stdout.decode() == f"a b{SECRET.value}fast||$(TOKEN)|"


def test_nothing_a_pod_says_becomes_a_reference() -> None:
    command = _command(_secret(command=["sh", "-c", "echo \0; id; \0$(TOKEN)"]))
    assert command is not None
    assert command[2] == "exec sh -c 'echo ; id; '\"${TOKEN}\""


def test_without_a_shell_it_has_to_be() -> None:
    assert _command(_secret(command=["/app"], args=["$(TOKEN)"])) == ["/app", SECRET.value]
    assert _command(_secret(command=["sh", "-c", "echo $(MODE)"])) == ["sh", "-c", "echo fast"]


# --- files that ACI has no mounts for -------------------------------------------------------------


def _mounted(volume: Files, *mounts: dict[str, Any], **container: Any) -> tuple[dict[str, Any], Any, str]:
    """(secret volumes by name, the container's mounts, its script)."""
    given = {"command": ["run"], **container}
    spec = {
        "containers": [
            {"name": "main", "image": "x", "volumeMounts": [{"name": "v", **one} for one in mounts], **given}
        ],
        "volumes": [{"name": "v"}],
    }
    properties = translate(make_pod(spec, volumes={"v": volume}), PLAIN, LINUX)["properties"]
    main = properties["containers"][0]["properties"]
    command = main["command"]
    volumes = {one["name"]: sorted(one["secret"]) for one in properties["volumes"]}
    return volumes, main["volumeMounts"], command[2] if command[0] == "/bin/sh" else ""


def test_each_directory_of_a_volume_of_files_is_a_volume() -> None:
    files = Files((File("a/x", b"1"), File("b/y", b"2"), File("b/z", b"3")))
    assert _mounted(files, {"mountPath": "/etc/app/", "readOnly": True}) == (
        {"v00-0-v": ["x"], "v00-1-v": ["y", "z"]},
        [
            {"name": "v00-0-v", "mountPath": "/etc/app/a", "readOnly": True},
            {"name": "v00-1-v", "mountPath": "/etc/app/b", "readOnly": True},
        ],
        "",
    )


def test_a_sub_path_that_is_a_directory_is_a_volume() -> None:
    files = Files((File("a/x", b"1"), File("b/y", b"2")))
    mount = {"mountPath": "/etc/app", "subPathExpr": "$(WHICH)"}
    spec = {
        "containers": [{"name": "main", "image": "x", "volumeMounts": [{"name": "v", **mount}]}],
        "volumes": [{"name": "v"}],
    }
    pod = make_pod(spec, volumes={"v": files}, env={"main": (EnvVar("WHICH", "b"),)})
    properties = translate(pod, PLAIN, LINUX)["properties"]
    assert [sorted(one["secret"]) for one in properties["volumes"]] == [["y"]]
    (mounted,) = properties["containers"][0]["properties"]["volumeMounts"]
    assert mounted["mountPath"] == "/etc/app"


def test_a_sub_path_that_is_a_file_is_copied_into_a_directory_of_the_image() -> None:
    files = Files((File("site.conf", b"1"), File("other", b"2")))
    volumes, mounts, told = _mounted(files, {"mountPath": "/etc/nginx/site.conf", "subPath": "site.conf"})
    assert volumes == {"v00-0-v": ["f0", "f1"]}
    assert mounts == [{"name": "v00-0-v", "mountPath": "/.vnodectl/0"}]
    assert "cp /.vnodectl/0/f0 /etc/nginx/site.conf && chmod 644 /etc/nginx/site.conf" in told


def test_executable_files_are_copied_with_their_mode() -> None:
    files = Files((File("run.sh", b"#!/bin/sh\n", 0o755), File("lib/data", b"2", 0o400)))
    volumes, mounts, told = _mounted(files, {"mountPath": "/app"}, command=["/app/run.sh"])
    assert len(volumes) == len(mounts) == 1
    assert "cp /.vnodectl/0/f0 /app/run.sh && chmod 755 /app/run.sh" in told
    assert "cp /.vnodectl/0/f1 /app/lib/data && chmod 400 /app/lib/data" in told


def test_sub_paths_of_an_empty_directory_are_volumes_of_their_own() -> None:
    from vnodectl.runtime.provider import EmptyDir

    def body(*paths: str) -> Any:
        mounts = [{"name": "v", "mountPath": f"/m{at}", "subPath": one} for at, one in enumerate(paths)]
        spec = {
            "containers": [{"name": "main", "image": "x", "volumeMounts": mounts}],
            "volumes": [{"name": "v"}],
        }
        return translate(make_pod(spec, volumes={"v": EmptyDir()}), PLAIN, LINUX)["properties"]

    found = body("a", "b", "a")
    names = [one["name"] for one in found["containers"][0]["properties"]["volumeMounts"]]
    assert [one["name"] for one in found["volumes"]] == ["v00-0-v", "v00-1-v"]
    assert names == ["v00-0-v", "v00-1-v", "v00-0-v"]
    for paths in (("a", "a/b"), ("a", "")):
        with pytest.raises(Rejected) as caught:
            body(*paths)
        assert caught.value.field == "spec.containers[0].volumeMounts[0].subPath"
