"""Every subcommand of ``lram`` with its options, by sphinx-click from the commands themselves."""

from __future__ import annotations


def page() -> str:
    return """\
# Command line

What `lram COMMAND --help` says, of every command. Exit codes: 0 done, 2 bad input (one line on
stderr), 130 interrupted; those of [replay](../replay.md#for-programs) tell more.

```{click} lram_core.cli:cli
:prog: lram
:nested: full
```
"""
