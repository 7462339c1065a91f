"""The connector's container image, and the small base that stands in where no registry can be reached."""
