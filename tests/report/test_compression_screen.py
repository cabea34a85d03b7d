"""What a recipe's passes cost and gained, on a screen of 80 columns."""

from pathlib import Path

import msgspec
from rich.console import Console

from edgekit.nouns.recipe import PassReport, PruneChannels, Qat, Weighed
from edgekit.report import compression

SOURCE = Weighed(
    parameters=77_710, macs=12_500_000, zeros=0.0, bytes=314_000, gzip_bytes=291_533, latency_ms=0.26, metric=0.8755
)
CUT = Weighed(
    parameters=40_000, macs=6_250_000, zeros=0.0, bytes=170_000, gzip_bytes=150_000, latency_ms=0.13, sqnr_db=18.24,
    agreement=0.965, metric=0.871,
)  # fmt: skip
TRAINED = Weighed(
    parameters=40_000, macs=6_250_000, zeros=0.5, bytes=170_000, gzip_bytes=90_000, latency_ms=None, sqnr_db=None,
    agreement=None, metric=0.874,
)  # fmt: skip


def shown(*reports: PassReport) -> list[str]:
    console = Console(width=80, record=True, file=Path("/dev/null").open("w"), markup=False)  # noqa: SIM115
    console.print(compression.passes("mine", reports))
    console.file.close()
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_each_pass_is_a_line_with_its_changes() -> None:
    cut = PassReport(settings=PruneChannels(), seconds=75.2, before=SOURCE, after=CUT, notes=("left whole: dense",))
    trained = PassReport(settings=Qat(), seconds=9.96, before=CUT, after=TRAINED)
    lines = shown(cut, trained)
    assert [line.split() for line in lines[1:5]] == [
        ["step", "took", "params", "MACs", "zeros", "gzipped", "latency", "SQNR", "metric"],
        ["source", "77.71", "k", "12.50", "M", "284.7", "KiB", "0.26", "ms", "0.8755"],
        ["prune-channels", "75.2", "s", "-49%", "-50%", "-49%", "-50%", "18.2", "dB", "0.8710"],
        ["qat", "10.0", "s", "-49%", "-50%", "50%", "-69%", "same", "0.8740"],
    ]
    assert lines[0] == "recipe mine: prune-channels, qat"
    assert lines[5:] == ["  prune-channels: left whole: dense"]


def test_choices_are_told_if_no_metric_is() -> None:
    source, cut = (msgspec.structs.replace(one, metric=None) for one in (SOURCE, CUT))
    _, head, _, line = shown(PassReport(settings=PruneChannels(), seconds=5400, before=source, after=cut))
    assert (head.split()[-1], line.split()[-1]) == ("agrees", "96.5%")
    assert " 1.5 h " in line


def test_columns_without_figures_are_left_out() -> None:
    plain = Weighed(parameters=10, macs=0, zeros=0.0, bytes=100, gzip_bytes=90)
    (_, head, *_) = shown(PassReport(settings=Qat(), seconds=1.0, before=plain, after=plain))
    assert head.split() == ["step", "took", "params", "MACs", "gzipped", "SQNR"]
