"""A cluster for people without one: a real control plane, a local node and the emulated clouds."""
