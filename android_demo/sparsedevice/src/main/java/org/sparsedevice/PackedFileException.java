package org.sparsedevice;

/** A packed file that breaks one of the numbered promises of its format. */
public final class PackedFileException extends SparseDeviceException {
    private static final long serialVersionUID = 1L;

    private final Promise promise;

    PackedFileException(String source, Promise promise) {
        super(source + ": " + promise.sentence() + " [promise: " + promise.text() + "]");
        this.promise = promise;
    }

    PackedFileException(Promise promise) {
        this("the model", promise);
    }

    /** The broken promise. */
    public Promise promise() {
        return promise;
    }
}
