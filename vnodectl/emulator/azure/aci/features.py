"""What Azure Container Instances accepts of its features beyond plain containers. Pure; raises ArmError.

Spot: the service's list of error codes for Spot containers. The rest: its published API description
(2025-09-01); where no message of the service is known, the code is InvalidParameter with the property as
target.
"""

from __future__ import annotations

import base64
import binascii

from vnodectl.emulator.azure.aci.checks import choice, expect, items, number, optional_object, text
from vnodectl.emulator.azure.errors import bad_request, invalid_content
from vnodectl.emulator.documents import JSON

GPU_SKUS = ("K80", "P100", "V100")
CAPABILITIES = ("add", "drop")
ACCESS = ("All", "System", "User")


def validate_features(name: str, document: JSON) -> None:
    """`document` is a group whose containers, names and sizes have been found good."""
    properties = document["properties"]
    containers = [*items(properties, "containers"), *items(properties, "initContainers")]
    _priority(name, properties)
    _confidential(properties)
    _encryption(properties)
    _diagnostics(properties)
    _extensions(properties)
    _identities(document, properties)
    _secret_references(properties, containers)
    for container in containers:
        inner = optional_object(container, "properties")
        _security(optional_object(inner, "securityContext"), container["name"])
        _config_map(optional_object(inner, "configMap"), container["name"])
        _gpu(optional_object(optional_object(inner, "resources"), "requests"), container["name"])
    zones = document.get("zones") or []
    expect(isinstance(zones, list) and len(zones) <= 1, "zones", "a container group has at most one zone")


def _priority(name: str, properties: JSON) -> None:
    priority = properties.get("priority")
    if priority is None:
        return
    if priority not in ("Regular", "Spot"):
        raise bad_request(
            "PriorityNotSpecified",
            f"The 'Priority' must be one of 'Regular,Spot' for container group '{name}'.",
        )
    if priority != "Spot":
        return
    if properties.get("ipAddress") is not None or items(properties, "subnetIds"):
        raise bad_request(
            "SpotPriorityContainerGroupNotSupportedForInboundConnectivity",
            "Spot Priority is not supported for container groups with inbound connectivity.",
        )
    if (sku := properties.get("sku") or "Standard") != "Standard":
        raise bad_request(
            "SpotPriorityContainerGroupNotSupportedInSku",
            f"Spot Priority Container Group is not supported in '{sku}' Sku.",
        )
    for container in items(properties, "containers"):
        resources = optional_object(optional_object(container, "properties"), "resources")
        if optional_object(resources, "requests").get("gpu"):
            raise bad_request(
                "SpotPriorityContainerGroupWithGPUResourcesNotSupported",
                "Spot Priority Container Groups that include containers requesting GPU resources are not "
                "supported.",
            )


def _confidential(properties: JSON) -> None:
    confidential = optional_object(properties, "confidentialComputeProperties")
    if properties.get("sku") == "Confidential":
        expect(
            properties.get("osType") != "Windows",
            "properties.sku",
            "the Confidential sku is not supported for Windows container groups",
        )
    if confidential.get("ccePolicy"):
        _base64(confidential["ccePolicy"], "properties.confidentialComputeProperties.ccePolicy")


def _encryption(properties: JSON) -> None:
    encryption = properties.get("encryptionProperties")
    if encryption is not None:
        place = "properties.encryptionProperties"
        given = optional_object(properties, "encryptionProperties")
        for field in ("vaultBaseUrl", "keyName", "keyVersion"):
            text(given, field, place)


def _diagnostics(properties: JSON) -> None:
    diagnostics = optional_object(properties, "diagnostics")
    if diagnostics.get("logAnalytics") is None:
        return
    place, analytics = "properties.diagnostics.logAnalytics", optional_object(diagnostics, "logAnalytics")
    for field in ("workspaceId", "workspaceKey"):
        text(analytics, field, place)
    choice(analytics, "logType", ("ContainerInsights", "ContainerInstanceLogs"))


def _extensions(properties: JSON) -> None:
    for index, extension in enumerate(items(properties, "extensions")):
        place = f"properties.extensions[{index}]"
        text(extension, "name", place)
        inner = optional_object(extension, "properties")
        for field in ("extensionType", "version"):
            text(inner, field, f"{place}.properties")


def _identities(document: JSON, properties: JSON) -> None:
    """Whatever names an identity must name one of the group's own."""
    identity = optional_object(document, "identity")
    own = {key.casefold() for key in optional_object(identity, "userAssignedIdentities")}
    if "SystemAssigned" in str(identity.get("type") or ""):
        own.add("system")
    named = [
        ("properties.imageRegistryCredentials", entry.get("identity"))
        for entry in items(properties, "imageRegistryCredentials")
    ]
    acls = optional_object(properties, "identityAcls")
    choice(acls, "defaultAccess", ACCESS)
    for entry in items(acls, "acls"):
        choice(entry, "access", ACCESS)
        named.append(("properties.identityAcls", entry.get("identity")))
    for place, one in named:
        expect(
            one is None or str(one).casefold() in own,
            place,
            f"the identity '{one}' is not one of the identities of the container group",
        )


def _secret_references(properties: JSON, containers: list[JSON]) -> None:
    known: set[str] = set()
    for index, entry in enumerate(items(properties, "secretReferences")):
        place = f"properties.secretReferences[{index}]"
        name = text(entry, "name", place)
        expect(name not in known, place, f"the secret reference '{name}' is used more than once")
        text(entry, "identity", place)
        uri = text(entry, "secretReferenceUri", place)
        expect(uri.startswith("https://"), place, f"'{uri}' is no URI of a key vault's secret")
        known.add(name)
    used: list[tuple[str, object]] = [
        ("environmentVariables", variable.get("secureValueReference"))
        for container in containers
        for variable in items(optional_object(container, "properties"), "environmentVariables")
    ]
    used += [
        ("imageRegistryCredentials", entry.get("passwordReference"))
        for entry in items(properties, "imageRegistryCredentials")
    ]
    for volume in items(properties, "volumes"):
        used.append(("volumes", optional_object(volume, "azureFile").get("storageAccountKeyReference")))
        used += [("volumes", one) for one in optional_object(volume, "secretReference").values()]
    for place, reference in used:
        expect(
            reference is None or reference in known,
            f"properties.{place}",
            f"the secret reference '{reference}' is not one of the container group's",
        )


def _security(context: JSON, container: str) -> None:
    place = f"securityContext of container '{container}'"
    for field in ("runAsUser", "runAsGroup"):
        value = number(context, field, place)
        expect(
            value is None or (value >= 0 and value == int(value)), place, f"{field} must be a whole number"
        )
    capabilities = optional_object(context, "capabilities")
    for field in CAPABILITIES:
        names = capabilities.get(field) or []
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise invalid_content(
                f"'{field}' of the capabilities of '{container}' must be a list of strings."
            )
    if context.get("seccompProfile"):
        _base64(context["seccompProfile"], place)


def _config_map(config: JSON, container: str) -> None:
    pairs = optional_object(config, "keyValuePairs")
    if not all(isinstance(value, str) for value in pairs.values()):
        raise invalid_content(f"'configMap.keyValuePairs' of '{container}' must be an object of strings.")


def _gpu(requests: JSON, container: str) -> None:
    if requests.get("gpu") is None:
        return
    gpu = optional_object(requests, "gpu")
    choice(gpu, "sku", GPU_SKUS)
    count = number(gpu, "count", container)
    expect(
        count in (1, 2, 4) and "sku" in gpu,
        f"properties.containers.{container}.resources.requests.gpu",
        "a GPU request has a sku and a count of 1, 2 or 4",
    )


def _base64(value: object, place: str) -> None:
    try:
        base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request("InvalidParameter", "The value is not base64.", place) from error
