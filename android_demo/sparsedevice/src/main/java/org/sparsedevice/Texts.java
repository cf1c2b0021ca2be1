package org.sparsedevice;

import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;

/** Ids and titles: strings by row, and rows by id. Reads the mapped bytes; keeps nothing of them. */
final class Texts {
    final int nItems;
    private final StringList items, users, titles;

    Texts(PackedFile file) {
        nItems = file.nItems;
        items = new StringList(file, PackedFile.ITEM_IDS, file.nItems);
        users = file.nUsers > 0 ? new StringList(file, PackedFile.USER_IDS, file.nUsers) : null;
        titles = file.has(PackedFile.TITLES) ? new StringList(file, PackedFile.TITLES, file.nItems) : null;
    }

    /** The list whose starts are section {@code first}; null where the file has none. */
    StringList list(int first) {
        return first == PackedFile.ITEM_IDS ? items : first == PackedFile.USER_IDS ? users : titles;
    }

    /** String of a row in the list whose starts are section {@code first}. */
    String string(int first, int row, Scratch scratch) {
        StringList list = list(first);
        if (list.coding == StringList.NUMBERS) { // without bytes on the way, which cost as much again
            long number = list.number(row);
            return number <= Integer.MAX_VALUE ? Integer.toString((int) number) : Long.toString(number);
        }
        int length = copy(first, row, scratch);
        return new String(scratch.bytes(length), 0, length, StandardCharsets.UTF_8);
    }

    boolean hasTitles() {
        return titles != null;
    }

    /** Title of an item: null where the file has none. */
    String title(int row, Scratch scratch) {
        return hasTitles() ? string(PackedFile.TITLES, row, scratch) : null;
    }

    /** An item with its id and title. */
    Recommendation item(int row, float score, Scratch scratch) {
        return new Recommendation(string(PackedFile.ITEM_IDS, row, scratch), title(row, scratch), row, score);
    }

    /** Write a string into {@code scratch.bytes}; its length. */
    int copy(int first, int row, Scratch scratch) {
        return list(first).copy(row, scratch);
    }

    /** Row of an id, or -1. */
    int find(int first, String id, Scratch scratch) {
        int length = Utf8.encode(id, scratch.wrapped(Utf8.room(id.length())), 0);
        return length < 0 ? -1 : find(first, scratch.bytes(length), length, scratch);
    }

    /** Row of an id of which {@code bytes} begins with the UTF-8, or -1. The format's page has the hash index. */
    private int find(int first, byte[] bytes, int length, Scratch scratch) {
        StringList list = list(first);
        long number = list.coding == StringList.NUMBERS ? list.numberOf(bytes, length) : 0;
        if (number < 0) {
            return -1;
        }
        for (int slot = firstSlot(bytes, length, list.n, scratch.crc); slot < list.slots; slot++) {
            long row = list.slot(slot);
            if (row >= list.n) {
                return -1;
            }
            if (list.coding == StringList.NUMBERS ? list.number((int) row) == number
                    : list.equal((int) row, bytes, length, scratch.reader)) {
                return (int) row;
            }
        }
        return -1;
    }

    /** Slot at which the search for an id begins, among {@code n}. */
    static int firstSlot(byte[] id, int length, int n, CRC32 crc) {
        crc.reset();
        crc.update(id, 0, length);
        return (int) (crc.getValue() * PackedFile.indexSlots(n) >>> 32);
    }
}
