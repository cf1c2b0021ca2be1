"""onnxruntime and ExecuTorch for arm64, as programs for QEMU's user-mode emulation. Never a time."""
