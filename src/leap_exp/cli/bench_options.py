"""Options that the benches of models have in common."""

from typing import Annotated

import typer

from leap_exp.core.errors import ConfigError
from leap_exp.students.weights import SHAPES

Device = Annotated[str, typer.Option(help="cpu, cuda, or auto (cuda if available).")]
Shape = Annotated[str | None, typer.Option(help="Random weights: tiny, 135m or 8b. Default: 135m, or 8b on a GPU.")]
Model = Annotated[str | None, typer.Option(help="Instead: folder with weights, hub id, or smollm2_135m.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or auto, as student.dtype.")]


def choose_shape(shape: str | None, device: str) -> str:
    """Return ``shape``, or the default of ``device``; raises ConfigError if there is no such shape."""
    shape = shape or ("8b" if device.startswith("cuda") else "135m")
    if shape not in SHAPES:
        raise ConfigError(f"--shape={shape} is not valid; choose one of: {', '.join(SHAPES)}.")
    return shape
