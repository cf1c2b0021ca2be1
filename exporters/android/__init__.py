"""The Android target: a Gradle project around the packed file, with the library's sources."""

from .project import project_files, project_folder, write, write_compact
from .readme import render

__all__ = ["project_files", "project_folder", "render", "write", "write_compact"]
