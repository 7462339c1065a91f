"""What `vnodectl agent` can be told: declared once; flags, environment, file and page are made from that."""
