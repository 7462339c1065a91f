"""The kubelet's HTTP API.

- `server`: the two listeners and the table of routes;
- `identity`, `authn`, `authz`: who asks, and whether they may;
- `serving`: TLS, with certificates that change while the server runs;
- `pods`, `logs`, `remote`: what the routes do;
- `upgrade`: from an HTTP request to a transport for `runtime.streams`;
- `stats`, `metrics`: what pods use, and what the node counts;
- `pieces`: how long answers are written;
- `configz`: how it is configured;
- `health`: the paths that probes use.
"""
