package org.sparsedevice;

/** A list of strings, as bytes behind one another: what a delta changes. */
final class StoredStrings {
    /** First byte of each string, and the end of the last. */
    final int[] pointers;
    final byte[] bytes;

    StoredStrings(int[] pointers, byte[] bytes) {
        this.pointers = pointers;
        this.bytes = bytes;
    }

    /** The list whose starts are section {@code first}. */
    static StoredStrings read(PackedFile file, int first, int n) {
        Texts texts = new Texts(file);
        Scratch scratch = new Scratch();
        int[] pointers = new int[n + 1];
        byte[] bytes = new byte[64];
        for (int row = 0; row < n; row++) {
            int begin = pointers[row], length = texts.copy(first, row, scratch);
            pointers[row + 1] = DeltaSource.size((long) begin + length);
            if (pointers[row + 1] > bytes.length) {
                bytes = java.util.Arrays.copyOf(bytes, (int) Math.min(Integer.MAX_VALUE - 8, 2L * pointers[row + 1]));
            }
            System.arraycopy(scratch.bytes(length), 0, bytes, begin, length);
        }
        return new StoredStrings(pointers, bytes);
    }

    /** A list of one string. */
    static StoredStrings of(byte[] string) {
        return new StoredStrings(new int[] {0, string.length}, string);
    }

    int length(int row) {
        return pointers[row + 1] - pointers[row];
    }

    int count() {
        return pointers.length - 1;
    }

    /** Read strings of which those that differ from the base's are given; {@code base} is the row there, or -1. */
    static StoredStrings take(DeltaSource in, StoredStrings old, int[] base) {
        boolean[] differs = in.bits(base.length);
        int[] given = in.planes(DeltaSource.count(differs), 4);
        long givenBytes = 0, all = 0;
        for (int length : given) {
            givenBytes += length & PackedFile.U32_MAX;
        }
        byte[] news = in.raw(givenBytes);
        int[] pointers = new int[base.length + 1];
        for (int row = 0, next = 0; row < base.length; row++) {
            all += differs[row] ? given[next++] : old == null || base[row] < 0 ? 0 : old.length(base[row]);
            pointers[row + 1] = (int) all;
        }
        byte[] bytes = new byte[DeltaSource.size(all)];
        for (int row = 0, next = 0; row < base.length; row++) {
            int length = pointers[row + 1] - pointers[row];
            if (differs[row]) {
                System.arraycopy(news, next, bytes, pointers[row], length);
                next += length;
            } else if (length > 0) {
                System.arraycopy(old.bytes, old.pointers[base[row]], bytes, pointers[row], length);
            }
        }
        return new StoredStrings(pointers, bytes);
    }
}
