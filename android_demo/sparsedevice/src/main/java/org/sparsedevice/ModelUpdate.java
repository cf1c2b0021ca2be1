package org.sparsedevice;

import android.content.Context;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.security.DigestOutputStream;
import java.security.MessageDigest;

/**
 * Makes of a model the one that a delta leads to ({@code sparsedevice diff old.sd new.sd --out update.sdd}), or takes
 * a whole new model, which {@code diff} gives where a delta would be no smaller.
 *
 * <p>The new model is written beside its place, checked against the sha256 in the delta, and renamed into it: it is
 * the right one or none, and whoever has the old one open keeps that. Work of some hundred milliseconds and several
 * times the model's memory, for a thread of its own.
 */
public final class ModelUpdate {
    private ModelUpdate() {}

    /** As {@link #apply(File, File, File)}, in the model's place. */
    public static void apply(File model, File delta) {
        apply(model, delta, model);
    }

    /**
     * Update a model in a file.
     *
     * @param base the model that the device has
     * @param out where the new one is put; may be {@code base}
     * @throws DeltaException if the delta is damaged, or is for another model: then fetch the full one
     * @throws PackedFileException if the delta is a whole model that is damaged
     * @throws ModelUnavailableException if a file cannot be read or written
     */
    public static void apply(File base, File delta, File out) {
        apply(ModelFiles.map(base), delta, out);
    }

    /** As {@link #apply(File, File, File)}, of a model in the app's assets. */
    public static void apply(Context context, String asset, File delta, File out) {
        apply(ModelFiles.map(context, asset), delta, out);
    }

    private static void apply(ByteBuffer base, File delta, File out) {
        try {
            byte[] update = read(delta);
            if (Delta.isOf(update, Delta.COMPACT_MAGIC)) {
                throw new DeltaException("magic", "this is a whole model in the compact coding, which is not expanded"
                        + " here; fetch the packed model itself");
            }
            if (Delta.isOf(update, PackedWriter.MAGIC)) {
                Verifier.verify(new PackedFile(ByteBuffer.wrap(update)));
                write(out, null, update, null);
            } else {
                Delta header = new Delta(update);
                write(out, header.apply(base), null, header.resultSha256);
            }
        } catch (OutOfMemoryError error) {
            throw new ModelUnavailableException("too little memory to apply the delta; fetch the full model", error);
        }
    }

    private static byte[] read(File file) {
        ByteBuffer mapped = ModelFiles.map(file);
        byte[] bytes = new byte[mapped.remaining()];
        mapped.get(bytes);
        return bytes;
    }

    /** Write beside {@code out}, check, rename. */
    private static void write(File out, PackedWriter writer, byte[] whole, byte[] sha256) {
        File beside = new File(out.getPath() + ".part");
        try {
            FileOutputStream file = new FileOutputStream(beside);
            try {
                MessageDigest digest = Delta.sha256();
                OutputStream checked = new DigestOutputStream(file, digest);
                if (writer == null) {
                    checked.write(whole);
                } else {
                    writer.write(checked);
                    if (!MessageDigest.isEqual(digest.digest(), sha256)) {
                        throw new DeltaException("result",
                                "the delta does not give the model that it promises; fetch it again");
                    }
                }
                file.getFD().sync();
            } finally {
                file.close();
            }
            if (!beside.renameTo(out)) {
                throw new IOException("cannot rename " + beside);
            }
        } catch (IOException error) {
            throw new ModelUnavailableException("cannot write " + out + ": " + error.getMessage()
                    + "; make room, or choose another place", error);
        } finally {
            beside.delete();
        }
    }
}
