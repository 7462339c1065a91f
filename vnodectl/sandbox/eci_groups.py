"""`python -m vnodectl.sandbox.eci_groups`: container groups as Alibaba Cloud's own SDK lists them.

A program that knows nothing of vnodectl but the environment that `vnodectl sandbox env` prints.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    from alibabacloud_eci20180808.client import Client
    from alibabacloud_eci20180808.models import DescribeContainerGroupsRequest
    from alibabacloud_tea_openapi.models import Config

    region = os.environ["ALIBABA_CLOUD_REGION_ID"]
    client = Client(
        Config(
            access_key_id=os.environ["ALIBABA_CLOUD_ACCESS_KEY_ID"],
            access_key_secret=os.environ["ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
            endpoint=os.environ["VNODECTL_ALIBABA_ENDPOINT"].removeprefix("https://"),
            protocol="https",
            region_id=region,
            ca=os.environ["VNODECTL_CA_BUNDLE"],
        )
    )
    token: str | None = None
    while True:
        request = DescribeContainerGroupsRequest(region_id=region, next_token=token)
        body = client.describe_container_groups(request).body
        for group in body.container_groups or ():
            sys.stdout.write(f"{group.container_group_name}\n")
        token = body.next_token
        if not token:
            return 0


if __name__ == "__main__":
    sys.exit(main())
