"""The driver for everything that speaks Docker's HTTP API: podman and docker."""
