"""One archive with everything that somebody who helps with a connector asks for, and nothing secret in it.

A room beside `checks`, because it also reads what checks do not, and beside `connector`, because it runs the
checks. `allow` says which fields of which objects are kept; `redaction` masks what is known to be secret in
whatever text is left; `cluster`, `helm`, `azure` and `alibaba` read; `bundle` runs them all, none hindering
another; `archive` writes the file.
"""
