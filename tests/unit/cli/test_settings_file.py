"""The file of --config: what it may say, and where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vnodectl.cli.app import run_program
from vnodectl.cli.inputs import gather
from vnodectl.cli.settings_file import read_config
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(content: str | bytes) -> str:
        path = tmp_path / "settings.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def gathered(path: str, **flags: Any) -> Settings:
    return gather(flags, path)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("location: eastus\n  tenant: x\n", "line 2, column 9: mapping values are not allowed here"),
        ("location: eastus\n\ttenant: x\n", "line 2, column 1: found character"),
        ("location: eastus\nvswitch: [a\n", "line 3, column 1: "),
        ("location: !no eastus\n", "line 1, column 11: could not determine a constructor"),
        ("location: a\n---\nlocation: b\n", "line 2, column 1: but found another document"),
        ("location: a\ntenant: x\nlocation: b\n", "line 3, column 1: location is there twice"),
        (b"location: a\ntenant: \xff\n", "line 2, column 9: not UTF-8 text"),
        ("location: a\ntenant: \x07x\n", "line 2, column 9: a control character"),
        ("name: *nowhere\n", "line 1, column 7: found undefined alias"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_place(content: str | bytes, place: str, write: Any) -> None:
    path = write(content)
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert caught.value.message.startswith(f"settings file {path}, {place}")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", ["- a\n", "text\n", "1: a\nfalse: b\n", "? [a]\n: b\n"])
def test_what_is_no_mapping_of_options_is_refused(content: str, write: Any) -> None:
    with pytest.raises(UsageError):
        read_config(write(content))


def test_numbers_and_dates_are_what_is_written(write: Any) -> None:
    path = write("image-tag: 1.10\nnodes: 3\nsubscription: 0123\nconnector-name: 2026-01-01\ntimeout: 1_0\n")
    settings = gathered(path)
    assert (settings.image_tag, settings.nodes, settings.subscription) == ("1.10", "3", "0123")
    assert (settings.connector_name, settings.timeout) == ("2026-01-01", "1_0")


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("lokation: eastus\n", "unknown key 'lokation'", "did you mean location?"),
        ("Connector-Name: a\n", "unknown key 'Connector-Name'", "did you mean connector-name?"),
        ("os_typ: Linux\n", "unknown key 'os_typ'", "did you mean os-type?"),
        ("dry-run: true\n", "unknown key 'dry-run'", "keys are options"),
        ("os-type: [Linux, Windows]\n", "os-type in the settings file: a list instead of a text", ""),
        ("location: {name: eastus}\n", "location in the settings file: a mapping instead of a text", ""),
        ("vswitch: {a: b}\n", "vswitch in the settings file: a mapping instead of texts", ""),
        ("vswitch: [[a]]\n", "vswitch in the settings file: not a list of texts", ""),
        ("image-tag: on\n", "image-tag in the settings file: YAML takes this for true", ""),
        ("webhook: maybe\n", "webhook in the settings file: 'maybe' is not true or false", ""),
        ("vpc-endpoints: 1\n", "vpc-endpoints in the settings file: '1' is not true or false", ""),
        ("os-type: Linux\nos_type: Windows\n", "the settings file has os_type twice", ""),
    ],
)
def test_a_key_or_a_kind_of_value_that_is_wrong_is_named(
    content: str, message: str, hint: str, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["show-connector", "--config", write(content)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert hint in shown.err


def test_the_flags_names_are_keys(write: Any) -> None:
    settings = gathered(write("name: my-aks\nresource-group: my-group\nregion: eastus\nwebhook: yes\n"))
    assert (settings.cluster_name, settings.location, settings.webhook) == ("my-aks", "eastus", "true")


@pytest.mark.parametrize(("cloud", "place"), [("azure", "eastus"), ("alibaba", "cn-hangzhou")])
def test_a_file_may_name_a_region_for_each_cloud(cloud: str, place: str, write: Any) -> None:
    settings = gathered(write("location: eastus\nregion: cn-hangzhou\n"), cloud=cloud)
    assert place in (settings.location, settings.region)
    assert None in (settings.location, settings.region)


def test_a_region_is_a_region_under_either_name(write: Any) -> None:
    assert gathered(write("location: cn-hangzhou\ncloud: alibaba\n")).region == "cn-hangzhou"
    assert gathered(write("region: westus\n"), location="eastus").location == "eastus"


def test_what_is_empty_says_nothing(write: Any) -> None:
    assert gathered(write("")) == gathered(write("location:\nwebhook: ''\nvswitch: []\n"))
