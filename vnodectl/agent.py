"""Composes settings, one provider and the runtime into the node process (`vnodectl agent`)."""
