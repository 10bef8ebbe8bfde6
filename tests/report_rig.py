"""HTML reports for tests: read as a browser would, and opened in one."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from xml.etree import ElementTree

from PIL import Image

CHROMIUM = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")


class Page(HTMLParser):
    """Collects what a browser would load, and checks that elements are closed in order."""

    VOID = frozenset({"meta", "br", "img", "link", "hr"})

    def __init__(self):
        super().__init__()
        self.loads, self.links, self.open, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "srcset", "data", "poster", "action") or (
                name in ("href", "xlink:href") and tag != "a" and not value.startswith("#")
            ):
                self.loads.append((tag, value))
            elif tag == "a" and name == "href":
                self.links.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def check_self_contained(html):
    """Nothing is loaded, elements are closed, ids are unique, figures are well-formed."""
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.loads == []
    assert not re.search(r"@import|url\((?!#)", html)  # url(#x): inside the figure itself
    assert "<script" not in html
    assert 'name="viewport"' in html
    for figure in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        ElementTree.fromstring(figure)
    ids = Counter(re.findall(r'\bid="([^"]+)"', html))
    assert max(ids.values(), default=1) == 1, ids.most_common(3)
    return page


def run_chromium(folder, *arguments):
    """Run Debian's Chromium without network; returns what it prints."""
    program = shutil.which(CHROMIUM[0])
    assert program, (
        "Chromium is missing: install it with 'sudo apt-get install chromium'; "
        "'make test' does so as root on Debian"
    )
    done = subprocess.run(
        [
            program,
            *CHROMIUM[1:],
            f"--user-data-dir={folder / 'profile'}",
            # Whatever a page asks for, nothing answers.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--proxy-server=127.0.0.1:9",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def screenshot(page, folder, width, height):
    """The page as a browser draws it in a window of this size: an RGB picture."""
    path = folder / f"{page.stem}-{width}.png"
    run_chromium(
        folder, f"--screenshot={path}", f"--window-size={width},{height}", page.resolve().as_uri()
    )
    with Image.open(path) as picture:
        return picture.convert("RGB")
