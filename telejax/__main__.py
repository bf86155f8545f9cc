"""``python -m telejax``, where the program's folder is not on the path."""

from telejax.cli import command

if __name__ == "__main__":
    command()
