package org.sparsedevice;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;

/** Ids and titles: strings by row, and rows by id. Reads the mapped bytes; keeps nothing. */
final class Texts {
    private final PackedFile file;

    Texts(PackedFile file) {
        this.file = file;
    }

    /** String of a row in the list whose pointers are section {@code first}. */
    String string(int first, int row, Scratch scratch) {
        int length = copy(first, row, scratch);
        return new String(scratch.bytes(length), 0, length, StandardCharsets.UTF_8);
    }

    /** Copy a string into {@code scratch.bytes}; its length. */
    int copy(int first, int row, Scratch scratch) {
        int length = length(first, row);
        byte[] bytes = scratch.bytes(length);
        ByteBuffer view = scratch.view(file.data);
        ((Buffer) view).position(begin(first, row)); // the cast: this method has another return type before API 34
        view.get(bytes, 0, length);
        return length;
    }

    /** Offset in the file of the first byte of a string. */
    int begin(int first, int row) {
        return file.offset(first + 1) + (int) file.begin(first, row, file.length(first + 1));
    }

    /** Bytes of a string. */
    int length(int first, int row) {
        long total = file.length(first + 1);
        return (int) Math.min(file.end(first, row, total) - file.begin(first, row, total), PackedFile.MAX_STRING);
    }

    /** Row of an id, or -1. */
    int find(int first, String id, Scratch scratch) {
        int length = Utf8.encode(id, scratch.wrapped(Utf8.room(id.length())), 0);
        return length < 0 ? -1 : find(first, scratch.bytes(length), length, scratch.crc);
    }

    /** Row of an id of which {@code bytes} begins with the UTF-8, or -1. The format's page has the hash index. */
    int find(int first, byte[] bytes, int length, CRC32 crc) {
        int n = first == PackedFile.USER_IDS ? file.nUsers : file.nItems, index = first + 2;
        crc.reset();
        crc.update(bytes, 0, length);
        int slots = file.length(index) / 4;
        for (long slot = crc.getValue() * PackedFile.indexSlots(n) >>> 32; slot < slots; slot++) {
            long row = file.u32(index, (int) slot);
            if (row >= n) {
                return -1;
            }
            if (length(first, (int) row) == length && equal(begin(first, (int) row), bytes, length)) {
                return (int) row;
            }
        }
        return -1;
    }

    private boolean equal(int at, byte[] other, int count) {
        for (int i = 0; i < count; i++) {
            if (file.data.get(at + i) != other[i]) {
                return false;
            }
        }
        return true;
    }
}
