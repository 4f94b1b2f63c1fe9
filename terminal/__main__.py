"""`python -m terminal` is `trade`."""

from terminal.cli import main

if __name__ == "__main__":
    main(prog_name="trade")
