"""Results for reports."""

from pathlib import Path

import msgspec
import numpy as np

from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.manifest import Bundle
from edgekit.nouns.profile import OperatorTime
from edgekit.nouns.recipe import FineTune, PassReport, Weighed
from edgekit.report.html import Explained
from tests.measure.gated_folders import artifact, manifest, profile, spec

HOSTILE = '</script><script>document.title="taken"</script><img src=x onerror=alert(1)>{{ 7*7 }}"\'&\u202e'


def full(name: str = "net") -> Explained:
    """Something of everything, with a name wherever a name can stand."""
    file = artifact(name=f"{name}.tflite")
    times = (OperatorTime(name=name, kind="CONV_2D", mean_ms=1.0, runs_on="xnnpack"),)
    seen = profile(
        file, [1.0, 1.1, 0.9, 1.2, 1.0, 1.05], energy_mj=[3.0] * 6, operators=times, raw="p.npz", flags=(name,)
    )
    weighed = Weighed(parameters=10, macs=20, zeros=0.1, bytes=40, gzip_bytes=30, metric=0.9)
    made = manifest(file, profiles=[seen], model=name, target=name)
    made = msgspec.structs.replace(
        made,
        passes=(PassReport(settings=FineTune(), seconds=3.0, before=weighed, after=weighed, notes=(name,)),),
        unavailable={name: name},
        calibration=made.evaluation and msgspec.structs.replace(made.evaluation, origin=name, warnings=(name,)),
        source=msgspec.structs.replace(made.source, warnings=(name,), producer=name, signature=msgspec.structs.replace(
            made.source.signature, inputs=(spec("x", 1, 8, 8, 3),))),
        integration=Bundle(kind="android", name=name, artifact=file.file, files={}),
        description=Description(inputs=(ImageInput(name="x", channels="BGR"),)),
    )  # fmt: skip
    blocks = {f"latencies_ms_{i}": np.full(40, 1.0 + 0.1 * i) for i in range(6)}
    pixels = np.random.default_rng(0).uniform(0, 1, (20, 1, 8, 8, 3)).astype(np.float32)
    return Explained(Path(name), made, {"p.npz": blocks}, {"x": pixels})


def bare() -> Explained:
    """What a build leaves that measured nothing and verified nothing."""
    file = msgspec.structs.replace(artifact(), verification=None)
    return Explained(Path("bare"), manifest(file, target="edgetpu"))
