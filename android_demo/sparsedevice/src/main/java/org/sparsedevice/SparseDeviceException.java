package org.sparsedevice;

/** Something the caller can mend; the message says what is wrong, where, and what to do. */
public class SparseDeviceException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    SparseDeviceException(String message) {
        super(message);
    }

    SparseDeviceException(String message, Throwable cause) {
        super(message, cause);
    }
}
