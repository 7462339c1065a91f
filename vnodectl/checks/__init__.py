"""Questions about a cluster, a cloud and an installation: read-only, each with evidence and a fix.

A check is data (`model.Check`) plus one async function. `runner.run` asks independent checks at once and
returns a `model.Report`; `catalog` lists them all; `render` and `junit` turn a report into documents.
"""
