"""The tags of a container group.

Azure allows 50 tags of 256 characters on a resource; a pod's name has at most 253.
"""

from vnodectl.clouds.ownership import CONNECTOR, CREATED, NAMESPACE, NODE, POD, UID, Owner

__all__ = ["CONNECTOR", "CREATED", "NAMESPACE", "NODE", "POD", "UID", "Owner"]
