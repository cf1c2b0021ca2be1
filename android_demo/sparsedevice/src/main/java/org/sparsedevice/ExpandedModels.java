package org.sparsedevice;

import android.content.Context;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;

/**
 * The packed files that are opened in place of compact ones. Each is written once, under a name made of the compact
 * file's name and of the sha256 of what it stands for, and mapped from there ever after.
 */
final class ExpandedModels {
    private static final int NAME_BYTES = 16;
    /** Nobody writes a model for so long: what is older was left by a process that was killed. */
    private static final long WRITING_MS = 3_600_000;

    private ExpandedModels() {}

    /**
     * Map a model as a packed file; that of a compact one is kept where the app's files are that no backup holds.
     *
     * @param check whether a packed file that was kept is made anew where its sha256 is another
     */
    static ByteBuffer map(Context context, String asset, boolean check) {
        ByteBuffer model = ModelFiles.map(context, asset);
        return CompactFile.is(model) ? expanded(model, asset, context.getNoBackupFilesDir(), check) : model;
    }

    /** As {@link #map(Context, String, boolean)}; the packed file is kept beside the compact one. */
    static ByteBuffer map(File file, boolean check) {
        ByteBuffer model = ModelFiles.map(file);
        return CompactFile.is(model)
                ? expanded(model, file.getName(), file.getAbsoluteFile().getParentFile(), check) : model;
    }

    private static synchronized ByteBuffer expanded(ByteBuffer model, String name, File folder, boolean check) {
        try {
            CompactFile file = new CompactFile(model);
            String prefix = name.replace('/', '_') + "-";
            File kept = new File(folder, prefix + Delta.hex(file.sha256, NAME_BYTES) + ".sd");
            if (kept.isFile() && kept.length() == file.packedBytes) {
                ByteBuffer mapped = ModelFiles.map(kept);
                if (!check || MessageDigest.isEqual(Delta.sha256(mapped), file.sha256)) {
                    return mapped;
                }
            }
            PackedWriter packed = file.read();
            ModelFiles.write(kept, part(kept), packed, null, file.sha256);
            dropOthers(folder, prefix, kept);
            return ModelFiles.map(kept);
        } catch (DeltaException error) {
            throw error.of(name);
        } catch (OutOfMemoryError error) {
            throw new ModelUnavailableException(name + ": too little memory to expand it", error);
        }
    }

    /** A name that no other process writes to. */
    private static File part(File kept) {
        try {
            return File.createTempFile(kept.getName(), ".part", kept.getParentFile());
        } catch (IOException error) {
            throw ModelFiles.cannotWrite(kept, error);
        }
    }

    /** Delete what earlier versions of the compact file were expanded to. Who has one open keeps it. */
    private static void dropOthers(File folder, String prefix, File kept) {
        File[] files = folder.listFiles();
        for (File file : files == null ? new File[0] : files) {
            String name = file.getName();
            boolean expanded = name.endsWith(".sd") && name.length() == kept.getName().length();
            boolean left = name.endsWith(".part") && file.lastModified() < System.currentTimeMillis() - WRITING_MS;
            if (name.startsWith(prefix) && !name.equals(kept.getName()) && (expanded || left)) {
                file.delete();
            }
        }
    }
}
