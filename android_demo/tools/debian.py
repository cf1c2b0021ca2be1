"""dx and android.jar from Debian 11 (bullseye), where no Android SDK is installed.

    python3 tools/debian.py FOLDER      # where build_apk.py --work looks for them: its folder debian

Debian 12 has neither. The two packages are downloaded and unpacked into a folder; nothing is installed, and
the system's own package sources stay as they are: bullseye is asked from the same mirror by another list.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = ("dalvik-exchange", "libandroid-23-java")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def find_jars(cache: Path) -> tuple[Path, Path]:
    """dx.jar and android.jar: those that DX_JAR and ANDROID_JAR name, else Debian's.

    Raises:
        SystemExit: with one sentence that says what is missing.
    """
    named = [os.environ.get("DX_JAR"), os.environ.get("ANDROID_JAR")]
    if all(named):
        return Path(str(named[0])), Path(str(named[1]))
    jars = (
        cache / "usr" / "share" / "java" / "com.android.dx.jar",
        cache / "usr" / "share" / "java" / "com.android.android-23.jar",
    )
    if not all(jar.exists() for jar in jars):
        fetch(cache)
    if not all(jar.exists() for jar in jars):
        raise SystemExit(
            f"{' and '.join(PACKAGES)} hold no dx.jar or android.jar; set DX_JAR and ANDROID_JAR"
        )
    return jars


def fetch(cache: Path) -> None:
    """Download and unpack the two packages into ``cache``."""
    reason = "set DX_JAR and ANDROID_JAR to jars that you have, or open the project in Android Studio"
    mirror = debian_mirror()
    if mirror is None or not shutil.which("apt-get") or not KEYRING.is_file():
        raise SystemExit(f"dx and android.jar (API 23) are missing and this is no Debian machine: {reason}")
    state = (cache / "apt").resolve()
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    sources = state / "bullseye.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror} bullseye main\n")
    options = [
        f"Dir::Etc::sourcelist={sources}",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={state / 'lists'}",
        f"Dir::Cache={state / 'cache'}",
        "APT::Sandbox::User=",
    ]
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    for command in ([*apt, "update"], [*apt, "download", *PACKAGES]):
        done = subprocess.run(command, cwd=state, capture_output=True, text=True, check=False)
        if done.returncode:
            message = done.stderr.strip().splitlines() or ["it does not say why"]
            raise SystemExit(f"apt-get cannot get dx and android.jar from bullseye ({message[-1]}): {reason}")
    for package in state.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(cache)], check=True)
        package.unlink()


def debian_mirror() -> str | None:
    """The mirror that this Debian machine uses; None where there is none."""
    etc = Path("/etc/apt")
    files = [*etc.glob("sources.list"), *etc.glob("sources.list.d/*")]
    text = "\n".join(path.read_text(errors="replace") for path in files if path.is_file())
    found = re.search(r"^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(\S+/debian/?)(?:\s|$)", text, re.MULTILINE)
    return found.group(1) if found else None


if __name__ == "__main__":
    sys.stdout.write(" ".join(map(str, find_jars(Path(sys.argv[1])))) + "\n")
