package org.sparsedevice;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** A packed file in the compact coding, as its page (docs/compact.md) describes it. */
final class CompactFile {
    private static final int HEADER_BYTES = 72;
    private static final byte[] MAGIC = {(byte) 0x93, 'S', 'D', 'Z', '\r', '\n', 0x1A, '\n'};
    /** As much of it as tells the kinds of files apart. */
    private static final byte[] KIND = {MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3]};
    private static final int VERSION = 1;

    private final ByteBuffer file;
    final long packedBytes;
    /** Of the packed file. */
    final byte[] sha256 = new byte[32];

    /** Check magic, length and version; {@link #read} checks the rest. */
    CompactFile(ByteBuffer bytes) {
        file = bytes.slice().order(ByteOrder.LITTLE_ENDIAN);
        int size = file.limit();
        if (!Delta.isOf(file, Arrays.copyOf(MAGIC, Math.min(size, MAGIC.length)))) {
            throw new DeltaException("magic", "this is not a sparsedevice compact file; fetch one made by"
                    + " sparsedevice compact");
        }
        if (size < HEADER_BYTES) {
            throw new DeltaException("truncated",
                    "the compact file ends after " + size + " bytes, inside its header; fetch it again");
        }
        if (file.getInt(8) != VERSION) {
            throw new DeltaException("version", "compact version " + file.getInt(8) + " is not known (known: "
                    + VERSION + "); update the library");
        }
        packedBytes = file.getLong(16);
        for (int i = 0; i < sha256.length; i++) {
            sha256[i] = file.get(40 + i);
        }
    }

    /** Whether a file, perhaps cut short, is meant to be one. */
    static boolean is(ByteBuffer file) {
        return Delta.isOf(file, KIND);
    }

    /** The packed file, whose sha256 is to be checked where it is written. */
    PackedWriter read() {
        byte[] bytes = new byte[file.limit()];
        file.duplicate().get(bytes);
        Delta.checkSum(bytes, "compact file");
        long bodyBytes = file.getLong(24), streamBytes = file.getLong(32);
        int rest = bytes.length - HEADER_BYTES;
        if (packedBytes < 0 || packedBytes > (long) DeltaSource.MAX_RATIO * bytes.length || streamBytes < 0
                || streamBytes > rest) {
            throw new DeltaException("lengths",
                    bytes.length + " bytes cannot stand for " + packedBytes + "; fetch it again");
        }
        DeltaSource body = DeltaSource.inflate(bytes, HEADER_BYTES, (int) streamBytes, bodyBytes);
        PrefixCodes codes = new PrefixCodes(bytes, HEADER_BYTES + (int) streamBytes);
        return new CompactBody(body, codes, packedBytes).read();
    }

    /** The base of a delta as a packed file: as it is, or expanded in memory and checked. */
    static ByteBuffer packed(ByteBuffer model) {
        if (!is(model)) {
            return model;
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try {
            CompactFile compact = new CompactFile(model);
            compact.read().write(out, compact.sha256);
        } catch (DeltaException error) {
            throw error.of("the model to be changed");
        } catch (IOException error) {
            throw new AssertionError(error); // memory has no such errors
        }
        return ByteBuffer.wrap(out.toByteArray());
    }
}
