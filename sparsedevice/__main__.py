"""``python -m sparsedevice`` is the command line."""

from sparsedevice.cli import main

main()
