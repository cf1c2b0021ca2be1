package org.sparsedevice;

/** An update that is damaged, or meant for another model; the model it was to change is as before. */
public final class DeltaException extends SparseDeviceException {
    private static final long serialVersionUID = 1L;

    private final String promise;

    DeltaException(String promise, String message) {
        super(message + " [promise: " + promise + "]");
        this.promise = promise;
    }

    static DeltaException body(String message) {
        return new DeltaException("body", "the delta makes no sense: " + message + "; fetch it again");
    }

    /** The broken promise: magic, version, truncated, checksum, base, body or result. */
    public String promise() {
        return promise;
    }
}
