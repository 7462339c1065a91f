from __future__ import annotations

import pytest
import yaml

from vnodectl.cli.app import run_program


@pytest.mark.parametrize(("system", "image"), [("linux", "aci-helloworld"), ("windows", "iis")])
def test_a_sample_is_a_deployment_that_asks_for_the_virtual_node(
    system: str, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["sample", system]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    deployment = yaml.safe_load(shown.out)
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert template["spec"]["nodeSelector"] == {
        "kubernetes.io/role": "agent",
        "kubernetes.io/os": system,
        "type": "virtual-kubelet",
    }
    assert template["spec"]["tolerations"][0]["key"] == "virtual-kubelet.io/provider"
    assert image in template["spec"]["containers"][0]["image"]
    assert "&id" not in shown.out, "anchors confuse readers"


def test_image_and_node_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["sample", "linux", "--image", "mine:1", "--node", "this-one"]) == 0
    spec = yaml.safe_load(capsys.readouterr().out)["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "mine:1"
    assert spec["nodeSelector"]["kubernetes.io/hostname"] == "this-one"


@pytest.mark.parametrize("flags", [["--image", "not an image"], ["--node", "a node"], ["--node", "x" * 64]])
def test_what_can_be_no_image_or_node_is_refused(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(["sample", "linux", *flags]) == 2
    assert capsys.readouterr().out == ""


def test_a_sample_of_alibaba_cloud_keeps_to_its_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, value in ((["--cloud", "alibaba"], "alibabacloud"), ([], "azure")):
        assert run_program(["sample", "linux", *flags]) == 0
        spec = yaml.safe_load(capsys.readouterr().out)["spec"]["template"]["spec"]
        (toleration,) = spec["tolerations"]
        assert (toleration["operator"], toleration["value"]) == ("Equal", value)
    assert run_program(["sample", "windows", "--cloud", "alibaba"]) == 2
    assert "Linux pods only" in capsys.readouterr().err
