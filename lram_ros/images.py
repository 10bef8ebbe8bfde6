"""Pictures: decoded and brought to the policy's size, on a thread of their own.

A camera's picture takes longer to decode than a control tick may last. :class:`ImageWorker` keeps
only the newest one, so a slow decoder costs frames, never control time.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import LramError, listed
from lram_ros.input_topic import ImageSize

Pixels = npt.NDArray[np.uint8]

# Encoding of sensor_msgs/Image → bytes a pixel, and which of them are red, green, blue.
ENCODINGS: dict[str, tuple[int, tuple[int, ...]]] = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
}
COMPRESSED = ("JPEG", "PNG")
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")  # 8 bits a channel: depth is no picture


class ImageError(LramError):
    """A picture of an unknown encoding, or one whose data are damaged."""


@dataclass(frozen=True)
class DecodedImage:
    """A picture ready for the policy; stands in the place of the message it came in.

    Attributes:
        header: of the message.
        pixels: uint8 (height, width, channels), rows from the top, red first.
    """

    header: Any
    pixels: Pixels


def decode(message: Any) -> Pixels:
    """Return the picture of an Image or CompressedImage, uint8 (height, width, 3), red first.

    Raises:
        ImageError: the encoding is not known, or the data are not those of such a picture.
    """
    return _decode_raw(message) if hasattr(message, "encoding") else _decode_compressed(message)


def resize(pixels: Pixels, size: ImageSize) -> Pixels:
    """Return ``pixels`` (h, w, 3) in the size and channels wanted, uint8.

    Bilinear with a support that grows as the picture shrinks, so that nothing is skipped. One
    channel is the luma of ITU-R 601.
    """
    from PIL import Image

    picture = Image.fromarray(pixels)
    if size.channels == 1:
        picture = picture.convert("L")
    if picture.size != (size.width, size.height):
        picture = picture.resize((size.width, size.height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(size.height, size.width, size.channels)


def _decode_raw(message: Any) -> Pixels:
    if message.encoding not in ENCODINGS:
        raise ImageError(f"encoding '{message.encoding}' is unknown; known are {listed(ENCODINGS)}")
    size, order = ENCODINGS[message.encoding]
    height, width, step = message.height, message.width, message.step
    data = np.frombuffer(message.data, dtype=np.uint8)
    if height < 1 or width < 1 or step < width * size or data.size != height * step:
        raise ImageError(
            f"{data.size} bytes with {step} a row are no {width} x {height} picture in "
            f"{message.encoding}, which takes {height} rows of at least {width * size} bytes"
        )
    rows = data.reshape(height, step)[:, : width * size]
    return np.ascontiguousarray(rows.reshape(height, width, size)[:, :, order])


def _decode_compressed(message: Any) -> Pixels:
    from PIL import Image

    data = bytes(message.data)
    try:
        with Image.open(io.BytesIO(data), formats=COMPRESSED) as picture:
            if picture.mode not in _MODES:
                raise ValueError(f"pixels of mode '{picture.mode}', expected 8 bits a channel")
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"{len(data)} bytes of format '{message.format}' are not a whole picture; "
            f"known are {listed(COMPRESSED)} ({error})"
        ) from None
    # A format such as "bgr8; jpeg compressed bgr8" names what the numbers were before they became
    # a file of colours, so nothing is swapped here.
    return pixels


class ImageWorker:
    """Decodes the newest picture of one topic on a thread of its own.

    Args:
        size: what the policy wants.
        deliver: called on that thread with each :class:`DecodedImage`.
        refuse: called on that thread with the ImageError of a picture that was refused.

    Attributes:
        skipped: pictures that a newer one replaced before they were decoded.
    """

    def __init__(
        self,
        size: ImageSize,
        deliver: Callable[[DecodedImage], None],
        refuse: Callable[[ImageError], None],
    ) -> None:
        self.skipped = 0
        self._size = size
        self._deliver = deliver
        self._refuse = refuse
        self._newest: Any = None
        self._stopping = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="image", daemon=True)
        self._thread.start()

    def submit(self, message: Any) -> None:
        """Take a message; returns at once."""
        with self._wake:
            if self._newest is not None:
                self.skipped += 1
            self._newest = message
            self._wake.notify()

    def stop(self) -> None:
        """End the thread; a picture in work is delivered first."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._newest is not None or self._stopping)
                if self._stopping:
                    return
                message, self._newest = self._newest, None
            try:
                pixels = resize(decode(message), self._size)
            except ImageError as error:
                self._refuse(error)
            else:
                self._deliver(DecodedImage(message.header, pixels))
