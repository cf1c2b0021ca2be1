package android.content.res;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;

/** Serves one asset that lies somewhere inside a bigger file, as assets lie inside an APK. */
public final class AssetManager {
    private final File archive;
    private final String name;
    private final long start;
    private final long length;

    public AssetManager(File archive, String name, long start, long length) {
        this.archive = archive;
        this.name = name;
        this.start = start;
        this.length = length;
    }

    public AssetFileDescriptor openFd(String asset) throws IOException {
        if (!asset.equals(name)) {
            throw new FileNotFoundException("This file can not be opened as a file descriptor; it is probably compressed");
        }
        return new AssetFileDescriptor(archive, start, length);
    }

    public String[] list(String folder) throws IOException {
        return new String[] {name};
    }
}
