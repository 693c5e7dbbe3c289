"""`python -m sagalang`."""

from sagalang.cli.main import main

if __name__ == "__main__":
    main()
