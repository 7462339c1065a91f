"""vnodectl: installer, lifecycle manager and runtime of Kubernetes virtual nodes."""

__version__ = "0.1.0"
