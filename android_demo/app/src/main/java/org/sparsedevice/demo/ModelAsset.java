package org.sparsedevice.demo;

import android.content.Context;
import java.io.IOException;
import java.util.Arrays;
import org.sparsedevice.Options;
import org.sparsedevice.SparseRecommender;

/** The model that was exported with the app: mapped where it lies, or expanded where it is a compact one. */
final class ModelAsset {
    private static final String PACKED = "model.sd", COMPACT = "model.sdz";

    private ModelAsset() {}

    static SparseRecommender open(Context context, boolean verify) {
        boolean compact;
        try {
            compact = Arrays.asList(context.getAssets().list("")).contains(COMPACT);
        } catch (IOException error) {
            compact = false; // opening says what is wrong
        }
        return SparseRecommender.open(context, compact ? COMPACT : PACKED, new Options().verify(verify));
    }
}
