"""Running known programs as child processes, where no container engine can be had.

There is no isolation: a program sees this machine's files and network. Paths below its mounts are rewritten
to where the volumes really are; limits, users, capabilities and read-only roots are not applied.
"""
