"""The documentation site: pages of ``docs/`` and ``notebooks/``, with the source's root as Sphinx's.

So links work in the repository as in the site. ``pages.py`` writes the pages of the methods and of the reference, and
draws the pictures of the methods.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import pages  # noqa: E402

from telejax.version import __version__  # noqa: E402

project = "telejax"
author = "The telejax developers"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "notebooks/*.ipynb",
    "experiments/CLAIMS.md",
    "experiments/RESULTS.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = ["docs/_*"]
templates_path: list[str] = []
suppress_warnings = ["myst.header", "config.cache", "ref.python"]  # RESULTS.md begins sections one level down
nitpicky = True
nitpick_ignore_regex = [  # types of signatures, of other packages or of rooms whose classes go by a function's name
    ("py:class", r"(?!telejax\.[A-Z]\w*$).*"),
    ("py:mod", r"telejax\.(algorithms|studies|mixing|network|simulation)\..*"),
    ("py:(obj|attr|data|meth|exc)", r"(?!telejax\.).*"),
]

# MyST and notebooks: all code is run while the site is built, and an error stops the build.
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_markdown_format = "myst"

# The reference.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
add_module_names = False

html_theme = "sphinx_book_theme"
html_title = "telejax"
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True, "navigation_with_keys": False}
html_static_path: list[str] = []
html_extra_path = ["_root"]  # a first page that leads to docs/index.html


def setup(app):
    app.connect("builder-inited", pages.write)
