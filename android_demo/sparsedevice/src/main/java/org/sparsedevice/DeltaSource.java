package org.sparsedevice;

import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/** Reads the arrays of the body of a delta or a compact file. No array is made that the bytes at hand do not fill. */
final class DeltaSource {
    /** Deflate never shrinks more than this, so nothing that claims to is worth unpacking. */
    static final int MAX_RATIO = 1032;

    private final byte[] data;
    private int at;

    DeltaSource(byte[] data) {
        this.data = data;
    }

    /** Unpack exactly {@code length} bytes from a zlib stream: {@code size} bytes of {@code file} from {@code from}. */
    static DeltaSource inflate(byte[] file, int from, int size, long length) {
        if (length < 0 || length > (long) MAX_RATIO * size || length >= Integer.MAX_VALUE) {
            throw DeltaException.body(size + " bytes cannot hold " + length);
        }
        byte[] data = new byte[(int) length];
        Inflater inflater = new Inflater();
        try {
            inflater.setInput(file, from, size);
            int done = 0;
            for (int more = 1; more > 0; done += more) {
                more = inflater.inflate(data, done, data.length - done);
            }
            // A stream that ends right here has no byte left, and says so when asked for one more.
            int beyond = inflater.finished() ? 0 : inflater.inflate(new byte[1]);
            if (done != data.length || beyond != 0 || !inflater.finished() || inflater.getRemaining() > 0) {
                throw DeltaException.body("its compressed part does not hold " + length + " bytes");
            }
        } catch (DataFormatException error) {
            throw DeltaException.body("its compressed part is damaged");
        } finally {
            inflater.end();
        }
        return new DeltaSource(data);
    }

    int left() {
        return data.length - at;
    }

    /** Step over {@code count} bytes; where they begin. */
    private int skip(long count) {
        if (count < 0 || count > left()) {
            throw DeltaException.body("an array of " + count + " bytes stands where " + left() + " are left");
        }
        at += (int) count;
        return at - (int) count;
    }

    /** A number of 32 bits, unsigned. */
    long number() {
        int begin = skip(4);
        return data[begin] & 255 | (data[begin + 1] & 255) << 8 | (data[begin + 2] & 255) << 16
                | (data[begin + 3] & 255L) << 24;
    }

    byte[] raw(long count) {
        int begin = skip(count);
        return java.util.Arrays.copyOfRange(data, begin, begin + (int) count);
    }

    /** Flags, eight in a byte. */
    boolean[] bits(long count) {
        int begin = skip((count + 7) / 8);
        boolean[] flags = new boolean[(int) count];
        for (int i = 0; i < flags.length; i++) {
            flags[i] = (data[begin + (i >> 3)] >> (i & 7) & 1) != 0;
        }
        return flags;
    }

    /** Numbers of {@code width} bytes, at most 4, stored plane by plane; those of 4 bytes may show as negative. */
    int[] planes(long count, int width) {
        int begin = skip(count * width), n = (int) count;
        int[] numbers = new int[n];
        for (int plane = 0; plane < width; plane++) {
            for (int i = 0; i < n; i++) {
                numbers[i] |= (data[begin + plane * n + i] & 255) << 8 * plane;
            }
        }
        return numbers;
    }

    void end() {
        if (left() > 0) {
            throw DeltaException.body(left() + " bytes follow the last array");
        }
    }

    /** Elements of an array, if there can be one of so many. */
    static int size(long elements) {
        if (elements > Integer.MAX_VALUE - 8) {
            throw DeltaException.body("it asks for an array of " + elements);
        }
        return (int) elements;
    }

    static int count(boolean[] flags) {
        int count = 0;
        for (boolean flag : flags) {
            count += flag ? 1 : 0;
        }
        return count;
    }
}
