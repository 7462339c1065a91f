"""`python -m vnodectl`."""

from vnodectl.cli.app import main

if __name__ == "__main__":
    main()
