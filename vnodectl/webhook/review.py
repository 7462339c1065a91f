"""AdmissionReview (admission.k8s.io/v1), in and out. Pure."""

from __future__ import annotations

import base64
import json
from typing import Any

from vnodectl.webhook.patch import Rule, Wish, patches, wished

JSON = dict[str, Any]


class BadReview(ValueError):
    """What was sent is no AdmissionReview of this version."""


def created_pod(review: Any) -> tuple[JSON, str] | None:
    """The pod that is being created, and its namespace; None for everything else."""
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(request, dict):
        return None
    pod = request.get("object")
    kind = (request.get("kind") or {}).get("kind")
    creation = request.get("operation") == "CREATE" and not request.get("subResource")
    if kind == "Pod" and creation and isinstance(pod, dict):
        return pod, str(request.get("namespace") or "")
    return None


def answer(review: Any, rule: Rule, wish: Wish | None = None) -> JSON:
    """The review's answer: always yes, with a patch where one is due. Raises BadReview.

    Whatever is not the creation of a pod is let through as it is. With a `wish` the pod is one that the API
    server did not choose by labels.
    """
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise BadReview("not an AdmissionReview")
    if review.get("apiVersion") != "admission.k8s.io/v1":
        raise BadReview("not a version of AdmissionReview that is known here")
    response: JSON = {"uid": request["uid"], "allowed": True}
    created = created_pod(review)
    if created is not None:
        found = patches(created[0], rule) if wish is None else wished(created[0], rule, wish)
        if found:
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(json.dumps(found).encode()).decode()
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
