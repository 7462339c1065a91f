"""Errors as Alibaba Cloud's OpenAPI gateway and its services write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode


class ApiError(Exception):
    """An answer with an HTTP status, a code and a sentence.

    `gateway`: raised before the service was reached. The services behind the ROA style (Container Service)
    write their own errors in lower case; the gateway's look the same everywhere.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        gateway: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.gateway = gateway
        self.headers = dict(headers or {})

    def body(self, *, request_id: str, host: str, product: str) -> dict[str, Any]:
        """`host` is the endpoint that was called, `product` as the console spells it (Eci, CS …)."""
        if product == "CS" and not self.gateway:
            return {
                "code": self.code,
                "message": self.message,
                "requestId": request_id,
                "status": self.status,
            }
        question = urlencode({"q": self.code, "product": product, "requestId": request_id})
        return {
            "RequestId": request_id,
            "HostId": host,
            "Code": self.code,
            "Message": self.message,
            "Recommend": f"https://api.aliyun.com/troubleshoot?{question}",
        }


def gateway_error(status: int, code: str, message: str) -> ApiError:
    return ApiError(status, code, message, gateway=True)


def missing_parameter(name: str) -> ApiError:
    return ApiError(
        400,
        "MissingParameter",
        f'The input parameter "{name}" that is mandatory for processing this request is not supplied.',
    )


def invalid_parameter(name: str, why: str = "is not valid") -> ApiError:
    return ApiError(400, "InvalidParameter", f"The specified parameter {name} {why}.")


def not_found(name: str) -> ApiError:
    """Of a container group or image cache that `name`, a parameter, speaks of."""
    return ApiError(404, "InvalidParameter.NotFound", f"The specified {name} does not exist.")


def incorrect_status(message: str) -> ApiError:
    return ApiError(400, "IncorrectStatus", message)
