"""Pictures as a part of the state token: the convolutions of IMPALA.

Espeholt et al. 2018, "IMPALA", figure 3, as the paper's models use it: three stages of 16, 32 and
32 channels, each a 3 × 3 convolution, a max-pooling by two and two residual blocks; then a linear
map and a ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (16, 32, 32)
SMALLEST = 2 ** len(CHANNELS)
"""Least height and width of a picture, in pixels."""


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv1(F.relu(self.conv0(F.relu(x))))
        return x + residual


class Stage(nn.Module):
    """Convolution, halving, two residual blocks: (B, C, H, W) → (B, channels, H / 2, W / 2)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1)
        self.block0 = ResidualBlock(channels)
        self.block1 = ResidualBlock(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv(x), 3, stride=2, padding=1)
        out: Tensor = self.block1(self.block0(x))
        return out


class ImageEncoder(nn.Module):
    """Pictures (…, height × width × channels), row by row, values from 0 to 1 → (…, size).

    Args:
        shape: (height, width, channels) of a picture, at least :data:`SMALLEST` high and wide.
        size: of the result.
    """

    def __init__(self, shape: Sequence[int], size: int) -> None:
        super().__init__()
        height, width, channels = shape
        self.shape = (height, width, channels)
        inputs = [channels, *CHANNELS[:-1]]
        self.stages = nn.Sequential(*(Stage(i, o) for i, o in zip(inputs, CHANNELS, strict=True)))
        for _ in CHANNELS:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        self.project = nn.Linear(CHANNELS[-1] * height * width, size)

    def forward(self, pixels: Tensor) -> Tensor:
        rows = pixels.reshape(-1, *self.shape).movedim(-1, 1)
        features = F.relu(self.stages(rows)).flatten(1)
        encoded: Tensor = F.relu(self.project(features))
        return encoded.unflatten(0, pixels.shape[:-1])


class PictureColumns:
    """Which values of an observation vector are pictures'.

    Args:
        pictures: (first value, height, width, channels) of each.
        observation_size: values of the vector.
    """

    def __init__(self, pictures: Sequence[Sequence[int]], observation_size: int) -> None:
        self.spans = [
            (first, first + height * width * channels)
            for first, height, width, channels in pictures
        ]
        rest = torch.ones(observation_size, dtype=torch.bool)
        for begin, end in self.spans:
            rest[begin:end] = False
        self.others = rest.nonzero().squeeze(-1)
