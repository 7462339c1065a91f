"""Many byte streams on one connection, as kubectl and the API server speak them to a kubelet.

- `spdy_frames`, `spdy_connection`: SPDY/3.1 without input or output;
- `spdy_session`: SPDY/3.1 on a byte transport;
- `websocket`: the `channel.k8s.io` family of WebSocket subprotocols;
- `session`: what the two have in common: how long a connection lives, and who ends it;
- `remote_command`, `port_forward`: what is done with the streams.

Nothing here knows HTTP, pods or aiohttp: `runtime.http` upgrades the request and hands over a transport.
"""
