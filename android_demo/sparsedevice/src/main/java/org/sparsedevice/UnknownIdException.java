package org.sparsedevice;

/** An item or user that the model does not know, where one is required. */
public final class UnknownIdException extends SparseDeviceException {
    private static final long serialVersionUID = 1L;

    private final String id;

    UnknownIdException(String id, String message) {
        super(message);
        this.id = id;
    }

    /** The id that was not found. */
    public String id() {
        return id;
    }
}
