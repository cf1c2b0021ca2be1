package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** What the body of a delta or a compact file begins with: counts, codes, and which sections the packed file has. */
final class ContentHead {
    static final int TITLES = 1, SEEN = 2, WEIGHTS = 4, MATRIX = 8, METADATA = 16, RULE = 32, TOWER = 64;
    private static final int ALL = 127;

    /** The packed file, without its sections. */
    final PackedWriter file;
    private final int flags;

    private ContentHead(PackedWriter file, int flags) {
        this.file = file;
        this.flags = flags;
    }

    static ContentHead take(DeltaSource in) {
        long nItems = in.number(), nUsers = in.number(), dim = in.number();
        byte[] codes = in.raw(4);
        ContentHead head = new ContentHead(new PackedWriter((int) nItems, (int) nUsers, (int) dim, codes[0],
                codes[1] == 1, codes[2] == 0), codes[3]);
        if (nItems < 1 || nItems > Integer.MAX_VALUE || nUsers > Integer.MAX_VALUE || dim < 1
                || dim > PackedFile.MAX_DIM) {
            throw DeltaException.body(nItems + " items, " + nUsers + " users, " + dim + " columns");
        }
        if ((codes[0] & ~3) != 0 || (codes[1] & ~1) != 0 || (codes[2] & ~1) != 0 || (codes[3] & ~ALL) != 0
                || (codes[1] == 1 && codes[0] < PackedFile.INT8)
                || (head.has(SEEN) && nUsers == 0)
                || (head.has(TOWER) && !head.has(RULE))) {
            throw DeltaException.body("unknown codes, or codes that do not go together");
        }
        return head;
    }

    /** Whether the packed file has the section of a flag. */
    boolean has(int flag) {
        return (flags & flag) != 0;
    }

    /** How many numbers the tower of a fold-in rule has; 0 where it is none. */
    static int towerNumbers(byte[] rule, int dim) {
        ByteBuffer words = ByteBuffer.wrap(rule).order(ByteOrder.LITTLE_ENDIAN);
        return Fold.towerNumbers(words.getInt(0), words.getInt(4), words.getInt(8), dim);
    }
}
