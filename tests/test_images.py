"""Pictures: encodings, sizes, damaged data, and the thread that decodes them."""

from __future__ import annotations

import io
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image

from lram_core.contract import ObservationField
from lram_core.errors import ContractError
from lram_ros.images import ENCODINGS, DecodedImage, ImageError, ImageWorker, decode, resize
from lram_ros.input_topic import FieldSource, ImageSize
from lram_ros.message_fields import FieldReader, InputError

RGB = np.array([[[255, 0, 10], [0, 128, 20]], [[7, 8, 9], [1, 2, 3]], [[4, 5, 6], [50, 60, 70]]])
RGB = RGB.astype(np.uint8)  # (3, 2, 3): higher than wide


def raw(pixels, encoding, padding=0):
    """A sensor_msgs/Image of RGB ``pixels``, written out channel by channel."""
    height, width, _ = pixels.shape
    r, g, b = (pixels[:, :, i] for i in range(3))
    alpha = np.full_like(r, 99)
    channels = {
        "rgb8": [r, g, b],
        "bgr8": [b, g, r],
        "rgba8": [r, g, b, alpha],
        "bgra8": [b, g, r, alpha],
        "mono8": [r],
    }[encoding]
    rows = np.stack(channels, axis=-1).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.data = rows.tobytes()
    return message


def compressed(pixels, kind, mode="RGB"):
    buffer = io.BytesIO()
    Picture.fromarray(pixels).convert(mode).save(buffer, kind)
    return CompressedImage(format=kind.lower(), data=buffer.getvalue())


def outcome(message):
    """The picture's shape, or what the error says."""
    try:
        return decode(message).shape
    except ImageError as error:
        return str(error)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_red_first(encoding, padding):
    expected = np.repeat(RGB[:, :, :1], 3, axis=2) if encoding == "mono8" else RGB
    found = decode(raw(RGB, encoding, padding))
    assert found.dtype == np.uint8
    assert found.tolist() == expected.tolist()


def test_png_is_exact_and_jpeg_close():
    assert decode(compressed(RGB, "PNG")).tolist() == RGB.tolist()
    assert decode(compressed(RGB, "PNG", "RGBA")).tolist() == RGB.tolist()
    flat = np.full((32, 24, 3), (200, 100, 50), dtype=np.uint8)
    assert np.abs(decode(compressed(flat, "JPEG")).astype(int) - flat).max() <= 3


@settings(deadline=None)
@given(st.sampled_from(sorted(ENCODINGS)), st.integers(1, 8), st.integers(1, 8), st.binary())
def test_any_bytes_are_a_picture_or_a_named_error(encoding, height, width, data):
    message = Image(height=height, width=width, encoding=encoding, step=width)
    message.data = data
    found = outcome(message)
    assert found == (height, width, 3) or f"{len(data)} bytes" in found
    found = outcome(CompressedImage(format="png", data=b"\x89PNG\r\n\x1a\n" + data))
    assert len(found) == 3 or "not a whole picture" in found


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_picture_is_refused(kind):
    message = compressed(np.random.default_rng(1).integers(0, 255, (40, 40, 3), np.uint8), kind)
    message.data = message.data[: len(message.data) // 2]
    with pytest.raises(ImageError, match="not a whole picture; known are JPEG, PNG"):
        decode(message)


def test_truncated_and_unknown_raw_pictures_are_refused():
    message = raw(RGB, "rgb8")
    message.data = message.data[:-1]
    with pytest.raises(ImageError, match="17 bytes with 6 a row are no 2 x 3 picture in rgb8"):
        decode(message)
    message.encoding = "bayer_rggb8"
    with pytest.raises(ImageError, match="'bayer_rggb8' is unknown; known are rgb8, bgr8"):
        decode(message)


def test_depth_is_no_picture():
    depth = Picture.fromarray(np.array([[1, 70], [500, 60000]], dtype=np.uint16))
    buffer = io.BytesIO()
    depth.save(buffer, "PNG")
    with pytest.raises(ImageError, match="expected 8 bits a channel"):
        decode(CompressedImage(format="16UC1; compressedDepth", data=buffer.getvalue()))


def test_sizes():
    assert resize(RGB, ImageSize(3, 2)).tolist() == RGB.tolist()
    assert resize(RGB, ImageSize(8, 5)).shape == (8, 5, 3)
    flat = np.full((480, 640, 3), (200, 100, 50), dtype=np.uint8)
    assert (resize(flat, ImageSize(84, 96)) == (200, 100, 50)).all()
    grey = resize(flat, ImageSize(84, 96, 1))
    assert grey.shape == (84, 96, 1)
    assert np.unique(grey).tolist() == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]


class TestField:
    source = FieldSource("camera", "", "1", image=ImageSize(3, 2))

    def reader(self, size=18):
        wanted = ObservationField("camera", size, "1")
        return FieldReader(self.source, "sensor_msgs/msg/Image", "robot.yaml: camera", wanted)

    def test_values_are_0_to_1_rows_first(self):
        found = self.reader().read(raw(RGB, "bgr8"))
        assert found == pytest.approx(RGB.reshape(-1) / 255)

    def test_what_a_worker_decoded_is_taken_as_it_is(self):
        ready = DecodedImage(Image().header, RGB)
        assert self.reader().read(ready) == pytest.approx(RGB.reshape(-1) / 255)

    def test_errors_name_topic_and_field(self):
        with pytest.raises(InputError, match=r"robot.yaml: camera: camera .* is unknown; known"):
            self.reader().read(Image(encoding="yuv422"))
        with pytest.raises(ContractError, match="gives 18 values, the bundle expects 12"):
            self.reader(12)


class TestWorker:
    def test_newest_only_and_off_the_callers_thread(self):
        begun, go, found = threading.Event(), threading.Event(), []

        def slow(image):
            found.append((image, threading.current_thread()))
            begun.set()
            go.wait(10)

        worker = ImageWorker(ImageSize(3, 2), slow, lambda error: pytest.fail(str(error)))
        first, dropped, last = (raw(RGB, "rgb8") for _ in range(3))
        for number, message in enumerate((first, dropped, last)):
            message.header.stamp.sec = number
        worker.submit(first)
        assert begun.wait(10)
        start = time.perf_counter()
        worker.submit(dropped)
        worker.submit(last)
        assert time.perf_counter() - start < 5  # it waits for nothing; the decoder stands still
        go.set()
        deadline = time.monotonic() + 10
        while len(found) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        worker.stop()
        assert [image.header.stamp.sec for image, _ in found] == [0, 2]
        assert worker.skipped == 1
        assert found[0][0].pixels.tolist() == RGB.tolist()
        assert {thread for _, thread in found} != {threading.current_thread()}

    def test_damaged_picture_is_reported_and_the_next_one_decoded(self):
        found, refused, done = [], [], threading.Event()

        def deliver(image):
            found.append(image)
            done.set()

        def refuse(error):
            refused.append(str(error))
            done.set()

        worker = ImageWorker(ImageSize(3, 2), deliver, refuse)
        worker.submit(Image(encoding="yuv422"))
        assert done.wait(10)
        done.clear()
        worker.submit(raw(RGB, "rgb8"))
        assert done.wait(10)
        worker.stop()
        assert len(found) == 1
        assert "yuv422" in refused[0]
