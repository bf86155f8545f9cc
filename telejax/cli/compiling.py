"""What the subcommands that compile programs share: the option of keeping them."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from telejax.cli.interrupt import Command


@dataclass(frozen=True, kw_only=True)
class Compiling(Command):
    """A subcommand that compiles programs."""

    cache: bool = True
    """Keep compiled programs for later commands, up to 1 GB in the user's folder for caches or in the one that
    $TELEJAX_CACHE names (off: nowhere)."""

    def surroundings(self) -> AbstractContextManager[None]:
        """What the command runs in."""
        from telejax.backend.kept_programs import folder, keep_programs

        return keep_programs(folder() if self.cache else None)
