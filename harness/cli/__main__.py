"""`python -m palaestra.harness.cli` is `palaestra`."""

from palaestra.harness.cli import main

if __name__ == "__main__":
    main()
