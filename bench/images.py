"""Root file systems to measure with: plain EROFS of this machine's programs."""

import hashlib
import os
import pathlib
import shutil
import subprocess


def pair(directory, megabytes):
    """Two releases of as many megabytes of files, the second with a change in each twentieth file; made once."""
    made = directory / "old.img", directory / "new.img"
    marker = directory / f"images-{megabytes}"
    if not marker.exists():
        make(directory, megabytes, *made)
        marker.touch()
    return made


def make(directory, megabytes, *made):
    old, new = directory / "old", directory / "new"
    for tree in (old, new):
        shutil.rmtree(tree, ignore_errors=True)
    total = number = 0
    for source in ("/usr/lib/x86_64-linux-gnu", "/usr/bin", "/usr/sbin", "/usr/share"):
        for parent, names, files in os.walk(source):
            names.sort()
            for name in sorted(files):
                path = pathlib.Path(parent, name)
                if path.is_symlink() or not path.is_file() or total > megabytes * 1_000_000:
                    continue
                content = path.read_bytes()
                if len(content) > 30_000_000:
                    continue
                total += len(content)
                number += 1
                for tree in (old, new):
                    place = tree / str(path)[1:]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if tree is new and number % 20 == 0:
                        middle = len(content) // 2
                        content = content[:middle] + hashlib.sha256(content).digest() * 3 + content[middle:]
                    place.write_bytes(content)
    for tree, image in ((old, made[0]), (new, made[1])):
        image.unlink(missing_ok=True)
        subprocess.check_call(
            ["mkfs.erofs", "-T1700000000", "-U00000000-0000-0000-0000-000000000001", "--all-root", image, tree],
            stdout=subprocess.DEVNULL,
        )
        shutil.rmtree(tree)
