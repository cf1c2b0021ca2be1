package org.sparsedevice;

import android.content.Context;
import java.io.File;
import java.nio.ByteBuffer;

/**
 * Makes of a model the one that a delta leads to ({@code sparsedevice diff old.sd new.sd --out update.sdd}), or takes
 * a whole new model, packed or in the compact coding, which {@code diff} gives where a delta would be no smaller.
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
     * @param base the model that the device has, packed or in the compact coding
     * @param out where the new one is put; may be {@code base}
     * @throws DeltaException if the delta or compact file is damaged, or the delta is for another model: then fetch
     *     the full one
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

    /**
     * Write the packed model that a compact file ({@code sparsedevice compact model.sd --out model.sdz}) stands for;
     * a packed one is checked and copied. {@link SparseRecommender#open(File)} opens compact files by itself; with
     * this the app says when that work is done and where the model lies.
     *
     * @param out where the model is put; may be {@code compact}
     * @throws DeltaException if the compact file is damaged
     * @throws PackedFileException if it is a packed model that is damaged
     * @throws ModelUnavailableException if a file cannot be read or written
     */
    public static void expand(File compact, File out) {
        expand(ModelFiles.map(compact), compact.toString(), out);
    }

    /** As {@link #expand(File, File)}, of a compact file in the app's assets. */
    public static void expand(Context context, String asset, File out) {
        expand(ModelFiles.map(context, asset), asset, out);
    }

    private static void expand(ByteBuffer compact, String name, File out) {
        try {
            putWhole(compact, out);
        } catch (DeltaException error) {
            throw error.of(name);
        } catch (OutOfMemoryError error) {
            throw new ModelUnavailableException(name + ": too little memory to expand it", error);
        }
    }

    private static void apply(ByteBuffer base, File delta, File out) {
        try {
            ByteBuffer update = ModelFiles.map(delta);
            if (Delta.isOf(update, PackedWriter.MAGIC) || CompactFile.is(update)) {
                putWhole(update, out);
            } else {
                Delta header = new Delta(bytes(update));
                ModelFiles.write(out, beside(out), header.apply(CompactFile.packed(base)), null, header.resultSha256);
            }
        } catch (DeltaException error) {
            throw error.of(delta.toString());
        } catch (OutOfMemoryError error) {
            throw new ModelUnavailableException("too little memory to apply the delta; fetch the full model", error);
        }
    }

    /** Put a whole model, in either coding, into its place. */
    private static void putWhole(ByteBuffer model, File out) {
        if (Delta.isOf(model, PackedWriter.MAGIC)) {
            byte[] packed = bytes(model);
            Verifier.verify(new PackedFile(ByteBuffer.wrap(packed)));
            ModelFiles.write(out, beside(out), null, packed, null);
        } else {
            CompactFile compact = new CompactFile(model);
            ModelFiles.write(out, beside(out), compact.read(), null, compact.sha256);
        }
    }

    private static File beside(File out) {
        return new File(out.getPath() + ".part");
    }

    private static byte[] bytes(ByteBuffer file) {
        byte[] bytes = new byte[file.remaining()];
        file.duplicate().get(bytes);
        return bytes;
    }
}
