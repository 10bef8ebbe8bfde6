"""Sphinx configuration of the manual. ``make docs`` builds it in build/docs.

The source folder is the repository's root: README, manual and model cards are pages as they are,
and a link from one to another, or to any file of the repository, is checked.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
from reference_pages.references import unlinked

project = "LRAM for ROS 2"
highlight_language = "none"  # where a block names none
root_doc = "docs/index"
include_patterns = ["README.md", "docs/**", "models/*/README.md"]
# Not looked into: what holds no page, or is not kept.
exclude_patterns = ["**/.*", "*.egg-info", "build", "datasets", "install", "log", "runs", "tests"]
exclude_patterns += ["benchmarks", "launch", "lram_core", "lram_ros", "sim"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
# A link to a heading is the heading's text as GitHub makes an anchor of it.
myst_heading_anchors = 6
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_use_rtype = False  # shapes stand where a type would
napoleon_attr_annotations = False  # the signature of a dataclass has the types of its attributes
nitpicky = True  # a reference to nothing is a warning, which fails the build
# Sphinx cuts some types at their first comma, and looks for the halves.
nitpick_ignore = [("py:class", "dict[str"), ("py:class", "collections.abc.Callable[[]")]
suppress_warnings = ["ref.python"]  # a type such as `range` that is an attribute's name as well

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
smartquotes = False  # `--option` stays what it is
html_additional_pages = {"index": "index.html"}
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["manual.css"]


def setup(app: Sphinx) -> None:
    """Make the generated pages of the reference before the pages are looked for."""
    app.add_config_value("generate_reference", True, "env")
    app.connect("builder-inited", _generate)
    app.connect("missing-reference", unlinked)
    app.connect("autodoc-process-docstring", _hide_colons, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", _show_colons, priority=600)


_COLON = "\N{RATIO}"


def _hide_colons(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from taking what stands before a colon for the type of an attribute."""
    if what in {"attribute", "data", "property"}:
        lines[:] = [line.replace(":", _COLON) for line in lines]


def _show_colons(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def _generate(app: Sphinx) -> None:
    if app.config.generate_reference:
        # Only here: it imports the whole package.
        from reference_pages import write_pages

        write_pages(Path(app.srcdir) / "docs" / "generated")
