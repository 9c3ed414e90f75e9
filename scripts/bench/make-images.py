#!/usr/bin/env python3
"""Makes OCI layouts to measure with: make-images.py mixed|small|large LAYOUT [SOURCE-FILE…]

mixed: 20 images, named mixed-01 to mixed-20, of one layer that all share and one of their own; what these hold is cut out of
the source files, from 300 kB to 100 MB of it, gzipped. small: one image of 2,000 layers of 1 to 16 kB, named small. large: one
image with one layer of 1 GB that cannot be compressed, named large. The bytes are the same each time.
"""

import gzip
import hashlib
import io
import json
import os
import random
import sys
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class Layout:
    """An OCI image layout that is being written."""

    def __init__(self, folder: str):
        self.folder = folder
        self.index: list[dict] = []
        os.makedirs(f"{folder}/blobs/sha256")

    def add(self, data: bytes, media_type: str) -> dict:
        """Writes a blob and returns its descriptor."""
        name = hashlib.sha256(data).hexdigest()
        with open(f"{self.folder}/blobs/sha256/{name}", "wb") as file:
            file.write(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    def layer(self, name: str, content: bytes) -> tuple[dict, str]:
        """Packs one file into a layer; returns its descriptor and the digest of what it unpacks to."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        unpacked = tar.getvalue()
        packed = gzip.compress(unpacked, compresslevel=1, mtime=0)
        return self.add(packed, LAYER), "sha256:" + hashlib.sha256(unpacked).hexdigest()

    def image(self, name: str, layers: list[tuple[dict, str]]) -> None:
        """Adds an image of these layers."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [unpacked for _, unpacked in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.add(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor for descriptor, _ in layers],
        }
        entry = self.add(json.dumps(manifest).encode(), MANIFEST)
        self.index.append(entry | {"annotations": {"org.opencontainers.image.ref.name": name}})

    def finish(self) -> None:
        """Writes what makes the folder a layout."""
        with open(f"{self.folder}/oci-layout", "w", encoding="utf-8") as file:
            json.dump({"imageLayoutVersion": "1.0.0"}, file)
        with open(f"{self.folder}/index.json", "w", encoding="utf-8") as file:
            json.dump({"schemaVersion": 2, "manifests": self.index}, file)


def mixed(layout: Layout, sources: list[str]) -> None:
    """20 images whose sizes grow by the same factor from each to the next."""
    pool = b"".join(open(name, "rb").read() for name in sorted(sources))
    length = len(pool)
    pool += pool[:100_000_000]
    shared = layout.layer("shared", pool[:8_000_000])
    start = 8_000_000
    for number in range(20):
        size = int(300_000 * (100_000_000 / 300_000) ** (number / 19))
        own = layout.layer(f"own-{number:02}", pool[start : start + size])
        start = (start + size) % length
        layout.image(f"mixed-{number + 1:02}", [shared, own])


def small(layout: Layout) -> None:
    """2,000 layers, none like the other."""
    dice = random.Random(1)
    layout.image(
        "small", [layout.layer(f"file-{number:04}", dice.randbytes(dice.randint(600, 15_600))) for number in range(2000)]
    )


def large(layout: Layout) -> None:
    """One layer of 1 GB."""
    dice = random.Random(2)
    data = b"".join(dice.randbytes(1_000_000) for _ in range(1000))
    layout.image("large", [(layout.add(data, LAYER), "sha256:" + hashlib.sha256(data).hexdigest())])


def main() -> None:
    kind, folder, sources = sys.argv[1], sys.argv[2], sys.argv[3:]
    layout = Layout(folder)
    if kind == "mixed":
        mixed(layout, sources)
    else:
        {"small": small, "large": large}[kind](layout)
    layout.finish()


main()
