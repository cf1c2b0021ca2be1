package org.sparsedevice;

/** A call on a recommender after its {@link SparseRecommender#close()}. */
public final class ClosedRecommenderException extends SparseDeviceException {
    private static final long serialVersionUID = 1L;

    ClosedRecommenderException() {
        super("this recommender is closed; open the model again");
    }
}
