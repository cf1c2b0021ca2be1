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
    private static final int VERSION = 1, HEADER_BYTES = 96;
    private static final int SAME_SYMBOLS = 1, OTHER_SYMBOLS = 2;

    private final byte[] delta;
    private final long resultBytes, bodyBytes;
    private final byte[] baseSha256;
    final byte[] resultSha256;

    /** Check the header. */
    Delta(byte[] delta) {
        this.delta = delta;
        if (!isOf(ByteBuffer.wrap(delta), Arrays.copyOf(MAGIC, Math.min(delta.length, MAGIC.length)))) {
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
        checkSum(delta, "delta");
        resultBytes = head.getLong(16);
        bodyBytes = head.getLong(24);
        baseSha256 = Arrays.copyOfRange(delta, 32, 64);
        resultSha256 = Arrays.copyOfRange(delta, 64, 96);
    }

    /** Whether a file begins with the bytes of a kind of file. */
    static boolean isOf(ByteBuffer file, byte[] magic) {
        int from = file.position();
        return file.remaining() >= magic.length
                && ByteBuffer.wrap(magic).equals(((ByteBuffer) file.duplicate().limit(from + magic.length)));
    }

    /** Check the CRC-32 of a whole delta or compact file, which stands in its bytes 12 to 16. */
    static void checkSum(byte[] file, String kind) {
        CRC32 crc = new CRC32();
        crc.update(file, 0, 12);
        crc.update(new byte[4], 0, 4);
        crc.update(file, 16, file.length - 16);
        if ((int) crc.getValue() != ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getInt(12)) {
            throw new DeltaException("checksum", "the " + kind + " is damaged or cut short; fetch it again");
        }
    }

    static byte[] sha256(ByteBuffer file) {
        MessageDigest digest = sha256();
        digest.update(file.duplicate());
        return digest.digest();
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
        byte[] found = sha256(base);
        if (!Arrays.equals(found, baseSha256)) {
            throw new DeltaException("base", "the delta is for the model with sha256 " + hex(baseSha256, 8)
                    + "…, not " + hex(found, 8) + "…; fetch the delta for this model, or the full model");
        }
        PackedFile old = new PackedFile(base);
        Verifier.verify(old);
        return read(old, DeltaSource.inflate(delta, HEADER_BYTES, delta.length - HEADER_BYTES, bodyBytes));
    }

    /** The first bytes of a digest, two digits each. */
    static String hex(byte[] digest, int bytes) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < bytes; i++) {
            text.append(Character.forDigit(digest[i] >> 4 & 15, 16)).append(Character.forDigit(digest[i] & 15, 16));
        }
        return text.toString();
    }

    private PackedWriter read(PackedFile base, DeltaSource in) {
        ContentHead head = ContentHead.take(in);
        PackedWriter file = head.file;
        RowMap items = RowMap.take(in, file.nItems, base.nItems);
        RowMap users = RowMap.take(in, file.nUsers, base.nUsers);
        takeStrings(in, base, file, PackedFile.ITEM_IDS, items);
        if (file.nUsers > 0) {
            takeStrings(in, base, file, PackedFile.USER_IDS, users);
        }
        if (head.has(ContentHead.TITLES)) {
            takeStrings(in, base, file, PackedFile.TITLES, items);
        }
        file.putItems(takeRows(in, base, file, PackedFile.ITEM_POINTERS, items), resultBytes);
        if (file.nUsers > 0) {
            file.putUsers(takeRows(in, base, file, PackedFile.USER_POINTERS, users), resultBytes);
        }
        if (head.has(ContentHead.SEEN)) {
            SeenLists old = base.has(PackedFile.SEEN_ROWS) ? SeenLists.read(base) : null;
            file.putSeen(SeenLists.take(in, old, items, users));
        }
        if (head.has(ContentHead.WEIGHTS)) {
            file.put(PackedFile.FOLD_WEIGHTS, items.takeWords(in, words(base, PackedFile.FOLD_WEIGHTS), 0));
        }
        if (head.has(ContentHead.MATRIX)) {
            int[] old = base.dim == file.dim ? words(base, PackedFile.FOLD_MATRIX) : null;
            file.put(PackedFile.FOLD_MATRIX, RowMap.takeWords(in, old == null ? new int[file.dim * file.dim] : old));
        }
        if (head.has(ContentHead.METADATA)) {
            StoredStrings old = StoredStrings.of(section(base, PackedFile.METADATA));
            file.put(PackedFile.METADATA, StoredStrings.take(in, old, new int[1]).bytes);
        }
        if (head.has(ContentHead.RULE)) {
            byte[] rule = in.raw(Fold.RULE_BYTES);
            file.put(PackedFile.FOLD_RULE, rule);
            if (head.has(ContentHead.TOWER)) {
                int[] old = words(base, PackedFile.FOLD_TOWER);
                int size = ContentHead.towerNumbers(rule, file.dim);
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
