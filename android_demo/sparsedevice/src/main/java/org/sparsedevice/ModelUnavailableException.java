package org.sparsedevice;

/** A model that cannot be read or mapped, or an engine that this device lacks. */
public final class ModelUnavailableException extends SparseDeviceException {
    private static final long serialVersionUID = 1L;

    ModelUnavailableException(String message) {
        super(message);
    }

    ModelUnavailableException(String message, Throwable cause) {
        super(message, cause);
    }
}
