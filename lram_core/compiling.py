"""What ``torch.compile`` is to be told of this code before it compiles it.

It is told here and not where the code stands, as telling imports the compiler: two seconds more for
every command and node, which compile nothing.
"""

from __future__ import annotations

import torch

from lram_core import accelerators, selective_scan, slstm


def expect_compiler() -> None:
    """Have loops over tokens and the choice of kernels left as they are.

    Loops would be unrolled, and take minutes to compile; the choice imports modules, at which a
    program would be split in two.
    """
    torch.compiler.assume_constant_result(accelerators.kernels_allowed)
    selective_scan.loop = torch.compiler.disable(selective_scan.chunk)
    slstm.loop = torch.compiler.disable(slstm.scan)
    slstm.kernel_loop = torch.compiler.disable(slstm.kernel_scan)
