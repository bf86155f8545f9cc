"""The program ``telejax``, and ``python -m telejax`` where its folder is not on the path."""

import sys


def main() -> None:
    """Run the command line; a Ctrl-C before it runs a command ends the process without a traceback, too."""
    try:
        from telejax.cli import command

        command()
    except KeyboardInterrupt:
        print("telejax: interrupted; nothing was begun", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
