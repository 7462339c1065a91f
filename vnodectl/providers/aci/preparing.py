"""What has to be known before a pod can be translated: image configs, and kube-proxy's token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vnodectl.clouds.azure import AzureSession
from vnodectl.errors import VnodectlError
from vnodectl.providers.aci.group import kubeconfig
from vnodectl.providers.aci.registries import is_acr
from vnodectl.providers.aci.settings import AciSettings, KubeProxy, NodeIdentity
from vnodectl.providers.aci.translate import Known, images_needed
from vnodectl.providers.image_registry import ImageRegistry, ImageUnknown, Platform
from vnodectl.providers.images import ImageConfig
from vnodectl.providers.registries import by_host, registry_of
from vnodectl.providers.timing import Timer
from vnodectl.runtime.provider import Rejected, ResolvedPod, Retryable


@dataclass(frozen=True, slots=True)
class Preparer:
    settings: AciSettings
    identity: NodeIdentity
    registry: ImageRegistry

    async def known(self, pod: ResolvedPod) -> Known:
        """Raises Rejected and Retryable."""
        needed = images_needed(pod, self.settings, self.identity)
        images = {image: await self._image(pod, image, field) for image, field in needed.items()}
        return Known(images, self._kube_proxy())

    async def _image(self, pod: ResolvedPod, image: str, field: str) -> ImageConfig:
        credential = by_host([image], pod.registry_credentials).get(registry_of(image)[0])
        platform = Platform(self.identity.os_type.lower())
        try:
            return await self.registry.config(image, platform, credential)
        except ImageUnknown as error:
            message = (
                f"{field} needs the entrypoint of image {image}, which cannot be read: {error}; "
                "give the container a command"
            )
            if error.final:
                raise Rejected("EntrypointUnknown", message, field=field) from error
            raise Retryable("ErrImagePull", message, retry_after=error.retry_after) from error

    def _kube_proxy(self) -> KubeProxy | None:
        """With the token as it is now: Kubernetes may have renewed it since the last group."""
        settings = self.settings
        if not settings.cluster_cidr:
            return None
        account = Path(settings.kube_proxy_account)
        try:
            token = (account / "token").read_text(encoding="utf-8").strip()
            authority = (account / "ca.crt").read_bytes()
        except OSError as error:
            raise Retryable(
                "KubeProxyTokenMissing", f"the kube-proxy side-car's token cannot be read: {error.strerror}"
            ) from error
        return KubeProxy(kubeconfig(settings.api_server, authority, token), settings.cluster_cidr)


def image_registry(session: AzureSession, timer: Timer, insecure: frozenset[str]) -> ImageRegistry:
    """A registry client that shares the session's connections, and its identity with ACR."""

    async def exchange() -> str:
        try:
            return await session.token(session.settings.registry_scope)
        except VnodectlError:
            return ""  # the registry may be open; what it answers is told

    return ImageRegistry(
        lambda: session.http,
        timer,
        exchange=exchange,
        takes_exchange=is_acr,
        plain=insecure,
        hasty=True,
    )
