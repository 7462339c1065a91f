"""The provider whose cloud is this machine."""
