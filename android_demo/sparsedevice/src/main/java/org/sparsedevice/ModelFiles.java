package org.sparsedevice;

import android.content.Context;
import android.content.res.AssetFileDescriptor;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/** Models in files: mapped, and put into place. A mapping keeps the file's bytes after the descriptor is closed. */
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

    /**
     * Write a model to {@code beside}, check it, and rename it to {@code out}.
     *
     * @param whole the model, where {@code writer} is null
     * @param sha256 of what {@code writer} writes
     */
    static void write(File out, File beside, PackedWriter writer, byte[] whole, byte[] sha256) {
        try {
            FileOutputStream file = new FileOutputStream(beside);
            try {
                if (writer == null) {
                    file.write(whole);
                } else {
                    writer.write(file, sha256);
                }
                file.getFD().sync();
            } finally {
                file.close();
            }
            if (!beside.renameTo(out)) {
                throw new IOException("cannot rename " + beside);
            }
        } catch (IOException error) {
            throw cannotWrite(out, error);
        } finally {
            beside.delete();
        }
    }

    static ModelUnavailableException cannotWrite(File file, IOException error) {
        return new ModelUnavailableException("cannot write " + file + ": " + error.getMessage()
                + "; make room, or choose another place", error);
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
