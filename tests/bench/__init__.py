"""`make bench`: how fast and how heavy the node is, as ratios to a floor measured in the same run."""
