package android.content.res;

import java.io.File;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;

/** A descriptor of the whole archive, with the place of the asset in it. */
public final class AssetFileDescriptor {
    private final FileInputStream in;
    private final long start;
    private final long length;

    AssetFileDescriptor(File archive, long start, long length) throws IOException {
        in = new FileInputStream(archive);
        this.start = start;
        this.length = length;
    }

    public FileDescriptor getFileDescriptor() {
        try {
            return in.getFD();
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    public long getStartOffset() {
        return start;
    }

    public long getLength() {
        return length;
    }

    public void close() throws IOException {
        in.close();
    }
}
