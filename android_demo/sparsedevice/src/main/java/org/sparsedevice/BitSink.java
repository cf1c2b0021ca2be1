package org.sparsedevice;

import java.util.Arrays;

/** Numbers of so many bits each, behind one another, the lowest bit of the first byte first. */
final class BitSink {
    /** Bytes of zeros that follow, so that a reader may read eight from any bit on. */
    private static final int SLACK = 8;

    private byte[] bytes = new byte[64];
    private long bits;

    long bits() {
        return bits;
    }

    /** A number of at most 48 bits. */
    void put(long number, int width) {
        int at = (int) (bits >>> 3);
        if (at + 2 * SLACK > bytes.length) {
            bytes = Arrays.copyOf(bytes, DeltaSource.size(2L * bytes.length));
        }
        for (long rest = (number & (1L << width) - 1) << (bits & 7); rest != 0; rest >>>= 8) {
            bytes[at++] |= (byte) rest;
        }
        bits += width;
    }

    /** Write all of it to {@code to} from {@code at} on. */
    void copy(byte[] to, int at) {
        System.arraycopy(bytes, 0, to, at, size() - SLACK);
    }

    int size() {
        return (int) ((bits + 7) >>> 3) + SLACK;
    }

    byte[] toBytes() {
        byte[] out = new byte[size()];
        copy(out, 0);
        return out;
    }
}
