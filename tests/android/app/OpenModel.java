package org.sparsedevice.demo;

import android.content.Context;
import android.content.res.AssetManager;
import java.io.File;
import org.sparsedevice.SparseRecommender;

/** How the app opens its model, without the app: ASSET FOLDER-FOR-FILES. Prints the packed model's bytes. */
public final class OpenModel {
    public static void main(final String[] arguments) {
        final File asset = new File(arguments[0]);
        try (SparseRecommender recommender = ModelAsset.open(new Context() {
            @Override
            public AssetManager getAssets() {
                return new AssetManager(asset, asset.getName(), 0, asset.length());
            }

            @Override
            public File getNoBackupFilesDir() {
                return new File(arguments[1]);
            }
        }, true)) {
            System.out.print(recommender.fileBytes());
        }
    }
}
