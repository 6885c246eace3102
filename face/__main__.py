"""Runs the command line: `python -m assay`."""

from assay.flows.cli import main

if __name__ == "__main__":
    main()
