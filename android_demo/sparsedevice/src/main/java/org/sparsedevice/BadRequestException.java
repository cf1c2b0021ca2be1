package org.sparsedevice;

/** A request that makes no sense: no results asked for, no history and no user, a null id. */
public final class BadRequestException extends SparseDeviceException {
    private static final long serialVersionUID = 1L;

    BadRequestException(String message) {
        super(message);
    }
}
