"""Video of simulated episodes: offscreen MuJoCo frames into one MP4."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import CommandError
from lram_sim.drawing import renderer, require_drawing

Image = npt.NDArray[np.uint8]

# Meta-World itself moves this camera closer (in metres) where it renders for people.
_PLACES = {"corner2": (0.75, 0.075, 0.7)}

# robosuite keeps the shapes that collide in group 0, those to look at in group 1.
_ROBOSUITE = "robot0_base"

_EMPTY = """
<mujoco>
  <visual><global offwidth="{width}" offheight="{height}"/></visual>
  <worldbody><camera name="probe"/></worldbody>
</mujoco>
"""


class Camera:
    """Renders one MuJoCo model from a named camera.

    The renderer belongs to the thread that made it and to one model: close it before the model
    goes away and before the process ends.
    """

    def __init__(self, model: Any, name: str, width: int, height: int) -> None:
        """Args:
            model: the simulator's model.
            name: of its camera; empty for the first.
            width, height: of the pictures, in pixels.

        Raises:
            CommandError: the model has no such camera, or nothing can render here.
        """
        require_drawing()
        import mujoco

        names = [model.camera(i).name for i in range(model.ncam)]
        name = name or next(iter(names), "")
        if name not in names:
            raise CommandError(f"no camera '{name}'; the task has {', '.join(names)}")
        self._index = names.index(name)
        # Software rendering: shadows, reflections and multisampling cost ten times the rest.
        model.vis.quality.offsamples = 0
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        self._renderer = renderer(model, width, height)
        self._place = _PLACES.get(name)
        self._shown = mujoco.MjvOption()
        if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, _ROBOSUITE) >= 0:
            self._shown.geomgroup[0] = 0
        self.model = model
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def render(self, data: Any) -> Image:
        """Return the picture of ``data``, uint8 (height, width, 3), upright.

        Raises:
            CommandError: the renderer failed.
        """
        if self._place is not None:
            # Of the derived camera poses, not of the model: the next step computes it anew.
            data.cam_xpos[self._index] = self._place
        try:
            self._renderer.update_scene(data, self._index, self._shown)
            image: Image = self._renderer.render()
        except Exception as error:
            raise CommandError(f"cannot render offscreen: {error}") from None
        # Some cameras (Meta-World's corner2) hang upside down: their up axis points to the floor.
        if data.cam_xmat[self._index].reshape(3, 3)[2, 1] < 0:
            image = image[::-1, ::-1]
        return image

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()


class Mp4Writer:
    """Frames into an H.264 MP4, under a temporary name until it is closed.

    Raises:
        CommandError: there is no encoder, or no place for the file.
    """

    def __init__(self, path: Path, fps: float, width: int, height: int) -> None:
        import imageio_ffmpeg

        self.path = path
        self._part = path.with_name(f".{path.stem}.part.mp4")
        prepare_encoder(path)
        self._frames: Generator[Any, Any, None] = imageio_ffmpeg.write_frames(
            str(self._part),
            (width, height),
            fps=fps,
            codec="libx264",
            macro_block_size=2,
            quality=None,
            output_params=["-crf", "23", "-preset", "veryfast", "-movflags", "+faststart"],
            ffmpeg_log_level="error",
        )
        next(self._frames)

    def write(self, image: Image) -> None:
        """Append a frame, uint8 (height, width, 3).

        Raises:
            CommandError: the encoder has failed, e.g. for want of space; nothing is left then.
        """
        try:
            self._frames.send(np.ascontiguousarray(image).tobytes())
        except (OSError, StopIteration) as error:
            self.discard()
            reason = str(error).partition("\n")[0] or "the encoder has ended"
            raise CommandError(f"{self.path} cannot be encoded: {reason}") from None

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            CommandError: the encoder left none; nothing is left then.
        """
        self._frames.close()
        try:
            if not self._part.stat().st_size:
                raise OSError("the encoder wrote nothing")
            self._part.replace(self.path)
        except OSError as error:
            self.discard()
            raise CommandError(f"{self.path} cannot be encoded: {error}") from None

    def discard(self) -> None:
        """End the encoder and leave no file."""
        self._frames.close()
        self._part.unlink(missing_ok=True)


def prepare_encoder(path: Path) -> None:
    """Make the folder of a video and look for the encoder.

    Raises:
        CommandError: the folder cannot be made, or there is no encoder.
    """
    import imageio_ffmpeg

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        imageio_ffmpeg.get_ffmpeg_exe()
    except (OSError, RuntimeError) as error:
        raise CommandError(f"{path} cannot be encoded: {error}") from None


class EpisodeVideo:
    """One MP4 of everything that is shown to it, at the speed of simulation time.

    Args:
        path: the MP4 to write.
        rate: control ticks a second (Hz) of what will be shown.
        fps: wanted frames a second; every n-th tick is drawn, so the file has ``rate / n``.
        camera: name of the camera.
        width, height: picture size in pixels, even numbers.
        hold: seconds for which an episode's last picture stays.

    Raises:
        CommandError: ``fps`` is not within ``rate``, or the picture too small or of an odd size.
    """

    def __init__(
        self,
        path: Path,
        rate: float,
        fps: float = 20.0,
        camera: str = "corner2",
        width: int = 480,
        height: int = 360,
        hold: float = 0.5,
    ) -> None:
        if not 0 < fps <= rate:
            raise CommandError(f"video fps must be above 0 and at most {rate:g}, found {fps:g}")
        if width % 2 or height % 2 or min(width, height) < 16:
            raise CommandError(f"video size must be even, from 16x16; found {width}x{height}")
        self._every = max(1, round(rate / fps))
        self._fps = rate / self._every
        self._hold = round(hold * self._fps)
        self._path, self._camera_name, self._size = path, camera, (width, height)
        self._camera: Camera | None = None
        self._writer: Mp4Writer | None = None

    def probe(self) -> None:
        """Draw an empty scene, so that what cannot be filmed here is refused before it begins.

        Raises:
            CommandError: nothing can be rendered or encoded here.
        """
        prepare_encoder(self._path)
        probe(*self._size)

    def show(self, model: Any, data: Any, tick: int, title: str, last: bool) -> None:
        """Draw this tick if it is due.

        Args:
            model, data: the simulation.
            tick: control ticks since the episode's start.
            title: a line of text in the picture.
            last: the episode ends here; its picture is drawn in any case, and stays.

        Raises:
            CommandError: it cannot be drawn or encoded. :meth:`discard` what there is then.
        """
        if tick % self._every and not last:
            return
        if self._camera is not None and self._camera.model is not model:
            self.detach()
        if self._camera is None:
            self._camera = Camera(model, self._camera_name, *self._size)
        if self._writer is None:
            self._writer = Mp4Writer(self._path, self._fps, *self._size)
        image = with_title(self._camera.render(data), title)
        for _ in range(1 + (self._hold if last else 0)):
            self._writer.write(image)

    def detach(self) -> None:
        """Let go of the current simulation; call it before that is closed."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def close(self) -> None:
        """Finish the file. Nothing is written when nothing was shown.

        Raises:
            CommandError: the encoder failed; nothing is left then.
        """
        self.detach()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def discard(self) -> None:
        """Let go of everything and leave no file."""
        self.detach()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()


def probe(width: int, height: int) -> None:
    """Draw an empty scene. Raises CommandError where nothing can be rendered here."""
    require_drawing()
    import mujoco

    model = mujoco.MjModel.from_xml_string(_EMPTY.format(width=width, height=height))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = Camera(model, "probe", width, height)
    try:
        camera.render(data)
    finally:
        camera.close()


def with_title(image: Image, title: str) -> Image:
    """Return ``image``, uint8 (height, width, 3), with a line of text at its top left."""
    from PIL import Image as Picture
    from PIL import ImageDraw

    picture = Picture.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    draw.text((9, 7), title, fill=(0, 0, 0))
    draw.text((8, 6), title, fill=(255, 255, 255))
    return np.asarray(picture)
