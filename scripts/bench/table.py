#!/usr/bin/env python3
"""Makes tables of the readings of bench-images.sh: table.py FOLDER [PAGE]

Without a page they are printed. In a page each takes the place of what stands between its marks, <!-- bench NAME --> and
<!-- end NAME -->.
"""

import os
import re
import sys
from dataclasses import dataclass, field

MISSED = ", **missed**"


class Readings:
    """What was measured, as medians."""

    def __init__(self, folder: str):
        self.folder = folder

    def tools(self, kind: str, job: str) -> list[str]:
        """The tools that were measured at a job."""
        path = f"{self.folder}/readings/{kind}/{job}"
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def jobs(self, kind: str) -> list[str]:
        """All jobs that were measured."""
        path = f"{self.folder}/readings/{kind}"
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def all(self, kind: str, job: str, tool: str) -> list[float]:
        """The readings in order of size; empty when there are none."""
        path = f"{self.folder}/readings/{kind}/{job}/{tool}"
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return sorted(float(line) for line in file)

    def median(self, kind: str, job: str, tool: str) -> float:
        """The middle reading."""
        values = self.all(kind, job, tool)
        return values[(len(values) - 1) // 2]

    def size(self, name: str) -> float:
        """How many bytes a job is about."""
        with open(f"{self.folder}/sizes/{name}", encoding="utf-8") as file:
            return float(file.read())

    def speed(self, name: str) -> float:
        """How many bytes a second the machine does."""
        return self.median("bounds", name, "machine")


@dataclass
class Row:
    """A job, what it is compared with, and what bounds it: bytes by sizes' names, for each thing that the machine does."""

    job: str
    text: str
    aim: float = 0
    needs: dict[str, list[str]] = field(default_factory=dict)
    ours: str = "sealer"


# What comes is hashed and made durable, whoever does it.
KEPT = {"sha256": ["packed"], "disk": ["packed"]}
SENT = KEPT | {"loopback": ["packed"]}
ALL_SENT = {"sha256": ["mixed"], "disk": ["mixed"], "loopback": ["mixed"]}
SMALL_SENT = {"sha256": ["small"], "disk": ["small"], "loopback": ["small"]}

ROWS = [
    Row("build-cold", "`build` of `FROM scratch`, `COPY rootfs .`", 3, {"sha256": ["rootfs", "packed"], "disk": ["packed"]}),
    Row("build-warm", "the same again, nothing changed", 3),
    Row("save", "`save`", 2, KEPT),
    Row("load", "`load`", 2, KEPT),
    Row("pull", "`pull`", 2, SENT),
    Row("push", "`push`", 2, SENT),
    Row("push-own", "`push` to sealer's own registry", 2, SENT),
    Row("unpack", "unpack the layer", 1, {"sha256": ["packed"]}),
    Row("mixed-save", "`save` of 20 images", 2, {"sha256": ["mixed"], "disk": ["mixed"]}),
    Row("mixed-load", "`load` of 20 images", 2, {"sha256": ["mixed"], "disk": ["mixed"]}),
    Row("mixed-pull", "`pull` of 20 images, one after the other", 2, ALL_SENT),
    Row("mixed-pull", "the same as one ClusterImage", 2, ALL_SENT, "sealer-one"),
    Row("mixed-push", "`push` of 20 images, one after the other", 2, ALL_SENT),
    Row("mixed-push", "the same as one ClusterImage", 2, ALL_SENT, "sealer-one"),
    Row("small-pull", "`pull` of 2,000 small blobs", 2, SMALL_SENT),
    Row("small-push", "`push` of 2,000 small blobs", 2, SMALL_SENT),
    Row("small-push-own", "the same to sealer's own registry", 2, SMALL_SENT),
]
RESOURCES = {"sha256": "SHA-256", "disk": "disk", "loopback": "loopback"}


def seconds(value: float) -> str:
    """Three digits, or what is there of them."""
    return f"{value:.2f}" if value < 99.5 else f"{value:.0f}"


def times(ratio: float) -> str:
    """How many times as fast."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mebibytes(kibibytes: float) -> str:
    """Memory as it is shown."""
    return f"{kibibytes / 1024:.0f} MiB"


def images(readings: Readings) -> str:
    """Commands beside other tools, and beside what the machine can do."""
    lines = []
    for row in ROWS:
        ours = readings.all("seconds", row.job, row.ours)
        if not ours:
            continue
        mine = readings.median("seconds", row.job, row.ours)
        peers = {
            tool: readings.median("seconds", row.job, tool)
            for tool in readings.tools("seconds", row.job)
            if not tool.startswith("sealer")
        }
        bare = peers.pop("curl-put", None)
        order = sorted(peers, key=peers.__getitem__)
        shown = ", ".join(f"{tool} {seconds(peers[tool])}" for tool in order)
        if bare is not None:
            shown += f"; bare curl {seconds(bare)}"
        ratio = peers[order[0]] / mine
        missed = MISSED if ratio < row.aim else ""
        bounds = {what: sum(map(readings.size, names)) / readings.speed(what) for what, names in row.needs.items()}
        what = max(bounds, key=bounds.__getitem__, default="")
        lines.append(
            [
                row.text,
                f"{seconds(mine)} s",
                shown,
                f"{times(ratio)}{missed}",
                f"{row.aim:g}",
                f"{seconds(bounds[what])} s, {RESOURCES[what]}" if what else "",
                f"{mine / bounds[what]:.1f}" if what else "",
                mebibytes(readings.all("memory", row.job, row.ours)[-1]),
            ]
        )
    head = ["work", "sealer", "the peers, s", "times as fast as the best", "aim", "bound", "seconds / bound", "peak memory"]
    return table(head, lines)


def again(readings: Readings) -> str:
    """What a push sends after a small change."""
    lines = [
        [tool, f"{readings.median('seconds', 'push-again', tool):.2f} s", f"{readings.median('bytes', 'push-again', tool):,.0f}"]
        for tool in sorted(readings.tools("seconds", "push-again"), reverse=True)
    ]
    return table(["tool", "time", "bytes over the network, both ways"], lines)


def serving(readings: Readings) -> str:
    """Both registries, to the same clients."""
    lines = []
    kinds = [
        ("serve-curl", "1 GB to each of 16 curl", "loopback-16"),
        ("serve-read", "1 GB to each of 16 plain readers", "loopback-16"),
        ("serve-drop", "1 GB to each of 16 readers that cost nothing", "loopback-16-drop"),
    ]

    def memory(job: str) -> list[str]:
        ours, theirs = (readings.all("server-memory", job, tool)[-1] for tool in ("sealer", "docker-registry"))
        missed = MISSED if ours / theirs > 0.25 else ""
        return [mebibytes(ours), mebibytes(theirs), f"{ours / theirs:.2f}{missed}"]

    for job, text, bound in kinds:
        if not readings.tools("seconds", job):
            continue
        ours, theirs = (16 * readings.size("large") / readings.median("seconds", job, tool) for tool in ("sealer", "docker-registry"))
        best = readings.speed(bound)
        missed = MISSED if ours / theirs < 2 else ""
        speeds = [f"{value / 1e9:.2f} GB/s" for value in (ours, theirs)]
        near = [f"{best / 1e9:.2f} GB/s", f"{best / ours:.2f}"]
        lines.append([text, *speeds, f"{times(ours / theirs)}{missed}", *near, *memory(job)])
    if readings.tools("rate", "serve-small"):
        ours, theirs = (readings.median("rate", "serve-small", tool) for tool in ("sealer", "docker-registry"))
        missed = MISSED if ours / theirs < 2 else ""
        rates = [f"{ours:,.0f}/s", f"{theirs:,.0f}/s"]
        lines.append(["2,000 small blobs to wrk", *rates, f"{times(ours / theirs)}{missed}", "", "", *memory("serve-small")])
    head = ["served", "sealer", "docker-registry", "times as fast", "bare sendfile", "that / sealer"]
    return table(head + ["memory, sealer", "docker-registry", "ratio"], lines)


def bounds(readings: Readings) -> str:
    """What the machine does at most."""
    names = [
        ("sha256", "SHA-256 on one core (openssl, pieces of 1 MiB)"),
        ("disk", "write 120 MB and fsync (dd, pieces of 1 MiB)"),
        ("disk-long", "write 1 GB and fsync"),
        ("loopback", "sendfile over loopback to one reader"),
        ("loopback-16", "the same, 16 at once"),
        ("loopback-16-drop", "the same to readers that let the kernel drop the bytes"),
    ]
    return table(["bound", "speed"], [[text, f"{readings.speed(name) / 1e9:.2f} GB/s"] for name, text in names])


def memory(readings: Readings) -> str:
    """The most memory that each job of sealer's ever took."""
    peaks = {}
    for job in readings.jobs("memory"):
        for tool in readings.tools("memory", job):
            if tool.startswith("sealer"):
                name = job.removeprefix("other-") + tool.removeprefix("sealer")
                peaks[name] = readings.all("memory", job, tool)[-1]
    for job in readings.jobs("server-memory"):
        if readings.tools("server-memory", job):
            peaks[f"registry, {job}"] = readings.all("server-memory", job, "sealer")[-1]
    peaks = {name: peak for name, peak in peaks.items() if not name.startswith("serve-")}
    order = sorted(peaks, key=peaks.__getitem__, reverse=True)
    return table(["work", "peak memory"], [[name, mebibytes(peaks[name])] for name in order])


def main() -> None:
    readings = Readings(sys.argv[1])
    tables = {"images": images, "again": again, "serving": serving, "bounds": bounds, "memory": memory}
    made = {name: make(readings) for name, make in tables.items()}
    if len(sys.argv) < 3:
        print("\n\n".join(made.values()))
        return
    with open(sys.argv[2], encoding="utf-8") as file:
        page = file.read()
    for name, text in made.items():
        pattern = re.compile(f"(<!-- bench {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        page, count = pattern.subn(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
        if count != 1:
            sys.exit(f"{sys.argv[2]} has no place for the table {name}")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(page)


main()
