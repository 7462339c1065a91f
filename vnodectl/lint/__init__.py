"""Workloads that will not run on a virtual node as they are written, found before they are scheduled.

A room beside `checks`: a check asks a cluster or a cloud one question and gets one verdict, lint reads
objects and points at lines. It knows no connector and opens no session: what a cloud says is handed in.

`documents` reads files with the place of every value, `live` reads a cluster; `workloads` finds the pods in
them and `landing` says which can land on a virtual node; `translation` asks the provider's own translator,
`beyond` and `online` the rules that no translator knows; `engine` puts it together, `catalogue` has them all.
"""
