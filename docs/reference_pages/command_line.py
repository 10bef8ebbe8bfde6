"""Every subcommand of ``lram`` with its options, by sphinx-click from the commands themselves.

In reStructuredText, which is what sphinx-click writes: inside a Markdown page its directives would
stand there as text.
"""

from __future__ import annotations


def page() -> str:
    return """\
Command line
============

What ``lram COMMAND --help`` says, of every command. Exit codes: 0 done, 2 bad input (one line on
stderr), 130 interrupted; ``lram replay`` ends with 1 where a threshold was missed.

.. click:: lram_core.cli:cli
   :prog: lram
   :nested: full
"""
