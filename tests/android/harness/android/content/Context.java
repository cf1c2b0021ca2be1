package android.content;

import android.content.res.AssetManager;
import java.io.File;

/** As much of Android's class as the library calls, for a JVM. */
public abstract class Context {
    public abstract AssetManager getAssets();

    public abstract File getNoBackupFilesDir();
}
