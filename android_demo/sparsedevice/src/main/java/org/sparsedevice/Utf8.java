package org.sparsedevice;

import java.nio.ByteBuffer;

/** UTF-8 without objects: what the platform's coders would allocate on every call. */
final class Utf8 {
    private Utf8() {}

    /** Most bytes that a string of {@code chars} characters takes. */
    static int room(int chars) {
        return 3 * chars;
    }

    /** Encode from {@code at} on; the number of bytes, or -1 where half a surrogate pair stands alone. */
    static int encode(String text, ByteBuffer out, int at) {
        int n = at;
        for (int i = 0; i < text.length(); i++) {
            int c = text.charAt(i);
            if (c < 0x80) {
                out.put(n++, (byte) c);
            } else if (c < 0x800) {
                out.put(n++, (byte) (0xC0 | c >> 6));
                out.put(n++, (byte) (0x80 | c & 63));
            } else if (c < 0xD800 || c > 0xDFFF) {
                out.put(n++, (byte) (0xE0 | c >> 12));
                out.put(n++, (byte) (0x80 | c >> 6 & 63));
                out.put(n++, (byte) (0x80 | c & 63));
            } else {
                if (c > 0xDBFF || i + 1 == text.length() || !Character.isLowSurrogate(text.charAt(i + 1))) {
                    return -1;
                }
                c = Character.toCodePoint((char) c, text.charAt(++i));
                out.put(n++, (byte) (0xF0 | c >> 18));
                out.put(n++, (byte) (0x80 | c >> 12 & 63));
                out.put(n++, (byte) (0x80 | c >> 6 & 63));
                out.put(n++, (byte) (0x80 | c & 63));
            }
        }
        return n - at;
    }

    /**
     * Length of the well-formed character at {@code at}; 0 if there is none before {@code end}.
     */
    static int length(ByteBuffer data, int at, int end) {
        int a = data.get(at) & 255;
        int length = a < 0x80 ? 1 : a < 0xC2 ? 0 : a < 0xE0 ? 2 : a < 0xF0 ? 3 : a < 0xF5 ? 4 : 0;
        if (length == 0 || length > end - at) {
            return 0;
        }
        for (int i = 1; i < length; i++) {
            if ((data.get(at + i) & 0xC0) != 0x80) {
                return 0;
            }
        }
        if (length > 2) {
            int b = data.get(at + 1) & 255;
            if ((a == 0xE0 && b < 0xA0) || (a == 0xED && b > 0x9F) || (a == 0xF0 && b < 0x90)
                    || (a == 0xF4 && b > 0x8F)) {
                return 0;
            }
        }
        return length;
    }

    static boolean valid(ByteBuffer data, int begin, int end) {
        for (int at = begin; at < end; ) {
            int length = length(data, at, end);
            if (length == 0) {
                return false;
            }
            at += length;
        }
        return true;
    }

    /**
     * Decode in lower case into {@code out}, which has room for one character a byte; the number of characters.
     * What is not UTF-8 becomes U+FFFD.
     */
    static int lower(ByteBuffer data, int begin, int end, char[] out) {
        int n = 0;
        for (int at = begin; at < end; ) {
            int length = length(data, at, end);
            int a = data.get(at) & 255;
            if (length == 1) {
                out[n++] = (char) (a >= 'A' && a <= 'Z' ? a + 32 : a);
            } else if (length == 0) {
                out[n++] = '\uFFFD';
                length = 1;
            } else {
                int c = a & 0x7F >> length;
                for (int i = 1; i < length; i++) {
                    c = c << 6 | data.get(at + i) & 63;
                }
                n += Character.toChars(Character.toLowerCase(c), out, n);
            }
            at += length;
        }
        return n;
    }
}
