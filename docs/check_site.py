"""Is the site whole? Every link within it leads somewhere, and every public name has its entry.

python docs/check_site.py docs/_build/html
"""

import inspect
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util.inventory import InventoryFile

sys.path.insert(0, str(Path(__file__).parent))
import pages

import telejax


class Page(HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.anchors |= {one for name in ("id", "name") if (one := found.get(name))}
        self.links |= {one for name in ("href", "src") if (one := found.get(name))}


def broken_links(site: Path) -> list[str]:
    """Page and target of each link within the site that leads nowhere."""
    read = {file.resolve(): Page(file) for file in site.rglob("*.html") if "_static" not in file.parts}
    found = []
    for file, page in read.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            there = target.exists() and not (target.is_dir() and not (target / "index.html").exists())
            anchor = unquote(parts.fragment)
            if not there or (anchor and target in read and anchor not in read[target].anchors):
                found.append(f"{file.relative_to(site.resolve())}: {link}")
    return found


def undocumented(site: Path) -> list[str]:
    """Public names without an entry in the reference."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    known = {name for kind in inventory.data.values() for name in kind}
    names = set(public()) | {one.name for module in pages.MODULES for one in pages.entries(module)}
    return sorted(names - known)


def public() -> list[str]:
    """What the root package exports, modules left out."""
    return [
        f"telejax.{name}" for name in telejax.__all__ if not inspect.ismodule(getattr(telejax, name)) and name[0] != "_"
    ]


def main(folder: str) -> int:
    site = Path(folder)
    links, names = broken_links(site), undocumented(site)
    for link in links:
        print(f"broken link: {link}")
    for name in names:
        print(f"no entry in the reference: {name}")
    pages_read = len(list(site.rglob("*.html")))
    print(f"{pages_read} pages, {len(links)} broken links, {len(names)} public names without an entry")
    return 1 if links or names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
