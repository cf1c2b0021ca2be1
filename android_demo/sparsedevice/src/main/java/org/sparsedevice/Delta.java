package org.sparsedevice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.zip.CRC32;

/** A delta between two packed files, as its format's page (docs/delta.md) describes it. */
final class Delta {
    private static final byte[] MAGIC = {(byte) 0x93, 'S', 'D', 'D', '\r', '\n', 0x1A, '\n'};
    static final byte[] COMPACT_MAGIC = {(byte) 0x93, 'S', 'D', 'Z', '\r', '\n', 0x1A, '\n'};
    private static final int VERSION = 1, HEADER_BYTES = 96;
    private static final int HAS_TITLES = 1, HAS_SEEN = 2, HAS_WEIGHTS = 4, HAS_MATRIX = 8, HAS_METADATA = 16,
            HAS_RULE = 32, HAS_TOWER = 64;
    private static final int SAME_SYMBOLS = 1, OTHER_SYMBOLS = 2;

    private final byte[] delta;
    private final long resultBytes, bodyBytes;
    private final byte[] baseSha256;
    final byte[] resultSha256;

    /** Check the header. */
    Delta(byte[] delta) {
        this.delta = delta;
        if (!isOf(delta, Arrays.copyOf(MAGIC, Math.min(delta.length, MAGIC.length)))) {
            throw new DeltaException("magic", "this is not a sparsedevice delta; fetch one made by sparsedevice diff");
        }
        if (delta.length < HEADER_BYTES) {
            throw new DeltaException("truncated",
                    "the delta ends after " + delta.length + " bytes, inside its header; fetch it again");
        }
        ByteBuffer head = ByteBuffer.wrap(delta).order(ByteOrder.LITTLE_ENDIAN);
        if (head.getInt(8) != VERSION) {
            throw new DeltaException("version",
                    "delta version " + head.getInt(8) + " is not known (known: " + VERSION + "); update the library");
        }
        CRC32 crc = new CRC32();
        crc.update(delta, 0, 12);
        crc.update(new byte[4], 0, 4);
        crc.update(delta, 16, delta.length - 16);
        if ((int) crc.getValue() != head.getInt(12)) {
            throw new DeltaException("checksum", "the delta is damaged or cut short; fetch it again");
        }
        resultBytes = head.getLong(16);
        bodyBytes = head.getLong(24);
        baseSha256 = Arrays.copyOfRange(delta, 32, 64);
        resultSha256 = Arrays.copyOfRange(delta, 64, 96);
    }

    /** Whether a file begins with the bytes of a kind of file. */
    static boolean isOf(byte[] file, byte[] magic) {
        return file.length >= magic.length && Arrays.equals(Arrays.copyOf(file, magic.length), magic);
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError(error); // every Java has it
        }
    }

    /** The file that this makes of a base, which is checked first. */
    PackedWriter apply(ByteBuffer base) {
        MessageDigest digest = sha256();
        digest.update(base.duplicate());
        byte[] found = digest.digest();
        if (!Arrays.equals(found, baseSha256)) {
            throw new DeltaException("base", "the delta is for the model with sha256 " + hex(baseSha256) + "…, not "
                    + hex(found) + "…; fetch the delta for this model, or the full model");
        }
        PackedFile old = new PackedFile(base);
        Verifier.verify(old);
        return read(old, DeltaSource.inflate(delta, HEADER_BYTES, bodyBytes));
    }

    private static String hex(byte[] digest) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 8; i++) {
            text.append(Character.forDigit(digest[i] >> 4 & 15, 16)).append(Character.forDigit(digest[i] & 15, 16));
        }
        return text.toString();
    }

    private PackedWriter read(PackedFile base, DeltaSource in) {
        long nItems = in.number(), nUsers = in.number(), dim = in.number();
        byte[] codes = in.raw(4);
        int flags = codes[3];
        if (nItems < 1 || nItems > Integer.MAX_VALUE || nUsers > Integer.MAX_VALUE || dim < 1
                || dim > PackedFile.MAX_DIM) {
            throw DeltaException.body(nItems + " items, " + nUsers + " users, " + dim + " columns");
        }
        boolean sliced = codes[1] == 1;
        if ((codes[0] & ~3) != 0 || (codes[1] & ~1) != 0 || (codes[2] & ~1) != 0 || (flags & ~127) != 0
                || (sliced && codes[0] < PackedFile.INT8)
                || ((flags & HAS_SEEN) != 0 && nUsers == 0)
                || ((flags & HAS_TOWER) != 0 && (flags & HAS_RULE) == 0)) {
            throw DeltaException.body("unknown codes, or codes that do not go together");
        }
        PackedWriter file =
                new PackedWriter((int) nItems, (int) nUsers, (int) dim, codes[0], sliced, codes[2] == 0);
        RowMap items = RowMap.take(in, file.nItems, base.nItems);
        RowMap users = RowMap.take(in, file.nUsers, base.nUsers);
        takeStrings(in, base, file, PackedFile.ITEM_IDS, items);
        if (nUsers > 0) {
            takeStrings(in, base, file, PackedFile.USER_IDS, users);
        }
        if ((flags & HAS_TITLES) != 0) {
            takeStrings(in, base, file, PackedFile.TITLES, items);
        }
        file.putItems(takeRows(in, base, file, PackedFile.ITEM_POINTERS, items), resultBytes);
        if (nUsers > 0) {
            file.putUsers(takeRows(in, base, file, PackedFile.USER_POINTERS, users), resultBytes);
        }
        if ((flags & HAS_SEEN) != 0) {
            SeenLists old = base.has(PackedFile.SEEN_ROWS) ? SeenLists.read(base) : null;
            file.putSeen(SeenLists.take(in, old, items, users));
        }
        if ((flags & HAS_WEIGHTS) != 0) {
            file.put(PackedFile.FOLD_WEIGHTS, items.takeWords(in, words(base, PackedFile.FOLD_WEIGHTS), 0));
        }
        if ((flags & HAS_MATRIX) != 0) {
            int[] old = base.dim == dim ? words(base, PackedFile.FOLD_MATRIX) : null;
            file.put(PackedFile.FOLD_MATRIX, RowMap.takeWords(in, old == null ? new int[(int) (dim * dim)] : old));
        }
        if ((flags & HAS_METADATA) != 0) {
            StoredStrings old = StoredStrings.of(section(base, PackedFile.METADATA));
            file.put(PackedFile.METADATA, StoredStrings.take(in, old, new int[1]).bytes);
        }
        if ((flags & HAS_RULE) != 0) {
            byte[] rule = in.raw(Fold.RULE_BYTES);
            file.put(PackedFile.FOLD_RULE, rule);
            if ((flags & HAS_TOWER) != 0) {
                ByteBuffer words = ByteBuffer.wrap(rule).order(ByteOrder.LITTLE_ENDIAN);
                int[] old = words(base, PackedFile.FOLD_TOWER);
                int size = Fold.towerNumbers(words.getInt(0), words.getInt(4), words.getInt(8), (int) dim);
                if (4L * size > resultBytes) {
                    throw DeltaException.body("a tower of " + size + " numbers in " + resultBytes + " bytes");
                }
                boolean same = old != null && old.length == size;
                file.put(PackedFile.FOLD_TOWER, RowMap.takeWords(in, same ? old : new int[size]));
            }
        }
        in.end();
        return file;
    }

    private static void takeStrings(DeltaSource in, PackedFile base, PackedWriter file, int first, RowMap map) {
        StoredStrings old = base.has(first) ? StoredStrings.read(base, first, map.baseCount) : null;
        StoredStrings strings = StoredStrings.take(in, old, map.base);
        SymbolTable symbols = null;
        int coding = (int) Math.min(in.number(), Integer.MAX_VALUE);
        if (coding == SAME_SYMBOLS && old != null) {
            symbols = SymbolTable.of(new Texts(base).list(first));
        } else if (coding == OTHER_SYMBOLS) {
            symbols = SymbolTable.take(in);
        }
        if (coding > OTHER_SYMBOLS || (coding == SAME_SYMBOLS && symbols == null)) {
            throw DeltaException.body("symbols have the unknown coding " + coding);
        }
        TextWriter.put(file, first, strings, symbols);
    }

    private static StoredRows takeRows(DeltaSource in, PackedFile base, PackedWriter file, int first, RowMap map) {
        boolean same = base.has(first) && base.values == file.values && base.dim == file.dim;
        StoredRows old = same ? StoredRows.read(base, first, map.baseCount) : null;
        StoredRows rows = StoredRows.take(in, old, map, file.dim, file.width(), file.values >= PackedFile.INT8);
        rows.takeScales(in, old, map, file.values, file.cosine);
        return rows;
    }

    private static int[] words(PackedFile file, int kind) {
        if (!file.has(kind)) {
            return null;
        }
        int[] words = new int[file.length(kind) / 4];
        for (int i = 0; i < words.length; i++) {
            words[i] = (int) file.u32(kind, i);
        }
        return words;
    }

    private static byte[] section(PackedFile file, int kind) {
        byte[] bytes = new byte[file.has(kind) ? file.length(kind) : 0];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = file.data.get(file.offset(kind) + i);
        }
        return bytes;
    }
}
