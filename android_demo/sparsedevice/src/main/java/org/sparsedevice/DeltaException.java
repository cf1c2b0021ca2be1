package org.sparsedevice;

/** A delta or a compact file that is damaged, or a delta for another model. Nothing was changed or written. */
public final class DeltaException extends SparseDeviceException {
    private static final long serialVersionUID = 1L;

    private final String promise;
    private final String sentence;

    DeltaException(String promise, String message) {
        super(message + " [promise: " + promise + "]");
        this.promise = promise;
        this.sentence = message;
    }

    static DeltaException body(String message) {
        return new DeltaException("body", "its contents make no sense: " + message + "; fetch it again");
    }

    /** The same, saying which file it is about. */
    DeltaException of(String source) {
        return new DeltaException(promise, source + ": " + sentence);
    }

    /**
     * The broken promise: magic, version, truncated, checksum, body or result; of a delta also base, of a compact
     * file also lengths or streams.
     */
    public String promise() {
        return promise;
    }
}
