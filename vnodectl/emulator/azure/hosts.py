"""The names under which Microsoft's clouds serve what is emulated here."""

from __future__ import annotations

ARM_HOSTS = ("management.azure.com", "management.usgovcloudapi.net", "management.chinacloudapi.cn")
LOGIN_HOSTS = (
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoftonline.us",
    "login.chinacloudapi.cn",
    "login.partner.microsoftonline.cn",
)
GRAPH_HOSTS = ("graph.microsoft.com", "graph.microsoft.us", "microsoftgraph.chinacloudapi.cn")
METRICS_DOMAIN = "metrics.monitor.azure.com"
"""Azure Monitor has one host a region in it."""
PUBLIC_HOSTS = (*ARM_HOSTS, *LOGIN_HOSTS, *GRAPH_HOSTS, f"*.{METRICS_DOMAIN}")
"""What the certificate of the emulator must name, so that clients of its proxy trust it."""
