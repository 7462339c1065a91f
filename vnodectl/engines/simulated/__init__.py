"""Containers that run without any process: for scale, for other operating systems, and where nothing else is.

They start at once, are ready, and run until they are deleted. A script makes one end:

    env VNODECTL_SIMULATE="exit=3 after=2s"     ends with code 3, two seconds after it started
    env VNODECTL_SIMULATE="start=5s"            needs five seconds to start
    command sh -c "sleep 2; exit 3"             the same as the first, for manifests that also run for real

Restart policies, back-off and restart counts then follow as for real containers. An init container without
a script succeeds at once. Logs are fixed, `exec` only says what it would run, files are not kept.
"""
