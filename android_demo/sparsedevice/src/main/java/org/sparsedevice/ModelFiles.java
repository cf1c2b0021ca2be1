package org.sparsedevice;

import android.content.Context;
import android.content.res.AssetFileDescriptor;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/** Maps models into memory. A mapping keeps the file's bytes after the descriptor is closed. */
final class ModelFiles {
    private ModelFiles() {}

    static ByteBuffer map(File file) {
        try {
            FileInputStream in = new FileInputStream(file);
            try {
                return map(in, 0, in.getChannel().size(), file.toString());
            } finally {
                in.close();
            }
        } catch (IOException error) {
            throw new ModelUnavailableException("cannot map " + file + ": " + error.getMessage(), error);
        }
    }

    static ByteBuffer map(Context context, String asset) {
        try {
            AssetFileDescriptor descriptor = context.getAssets().openFd(asset);
            try {
                FileInputStream in = new FileInputStream(descriptor.getFileDescriptor());
                return map(in, descriptor.getStartOffset(), descriptor.getLength(), asset);
            } finally {
                descriptor.close();
            }
        } catch (IOException error) {
            throw new ModelUnavailableException("cannot map the asset " + asset + ": it is missing, or the build"
                    + " compressed it; put it into src/main/assets and its ending into androidResources.noCompress",
                    error);
        }
    }

    private static ByteBuffer map(FileInputStream in, long offset, long length, String name) throws IOException {
        if (length > Integer.MAX_VALUE) {
            throw new ModelUnavailableException(name + " has " + length + " bytes; one buffer maps at most 2 GB");
        }
        try {
            return in.getChannel().map(FileChannel.MapMode.READ_ONLY, offset, length);
        } catch (OutOfMemoryError error) {
            throw new ModelUnavailableException("no address space to map " + name, error);
        }
    }
}
