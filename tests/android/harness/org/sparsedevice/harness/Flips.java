package org.sparsedevice.harness;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.zip.CRC32;
import org.sparsedevice.Request;
import org.sparsedevice.SparseDeviceException;
import org.sparsedevice.SparseRecommender;

/** Opens damaged copies of a model, and where one opens asks it everything. */
final class Flips {
    private static final List<String> HISTORY = Arrays.asList("item-1", "item-2", "item-60");

    private Flips() {}

    static void run(Map<String, Object> call, Map<String, Object> answer) {
        byte[] data;
        try {
            data = Files.readAllBytes(new File((String) call.get("path")).toPath());
        } catch (java.io.IOException error) {
            throw new IllegalStateException(error);
        }
        Random random = new Random(((Double) call.get("seed")).longValue());
        int opened = 0, refused = 0;
        for (int i = 0; i < ((Double) call.get("n")).intValue(); i++) {
            byte[] copy = data.clone();
            int flips = new int[] {1, 1, 2, 8}[random.nextInt(4)];
            for (int j = 0; j < flips; j++) {
                copy[random.nextInt(copy.length)] ^= 1 + random.nextInt(255);
            }
            if (random.nextInt(8) == 0) {
                copy = Arrays.copyOf(copy, random.nextInt(copy.length));
            }
            if (Arrays.equals(copy, data)) {
                i--; // the flips have undone each other
                continue;
            }
            if (Boolean.TRUE.equals(call.get("mend"))) {
                mendHeader(copy);
            }
            ByteBuffer bytes = ByteBuffer.allocateDirect(copy.length);
            bytes.put(copy).flip();
            SparseRecommender model;
            try {
                model = SparseRecommender.open(bytes, Server.options(call));
            } catch (SparseDeviceException error) {
                refused += error.getMessage().contains("[promise: ") ? 1 : 0;
                continue;
            }
            opened++;
            askEverything(model);
        }
        answer.put("opened", opened);
        answer.put("refused", refused);
    }

    /** Make the checksum of head and section table right, so that the damage behind it is met. */
    private static void mendHeader(byte[] copy) {
        ByteBuffer bytes = ByteBuffer.wrap(copy).order(ByteOrder.LITTLE_ENDIAN);
        if (copy.length < 64 || bytes.getInt(56) < 0 || bytes.getInt(56) > 21
                || copy.length < 64 + 24 * bytes.getInt(56)) {
            return;
        }
        bytes.putInt(60, 0);
        CRC32 crc = new CRC32();
        crc.update(copy, 0, 64 + 24 * bytes.getInt(56));
        bytes.putInt(60, (int) crc.getValue());
    }

    private static void askEverything(SparseRecommender model) {
        for (int question = 0; question < 9; question++) {
            try {
                ask(model, question);
            } catch (SparseDeviceException error) {
                // An answer too: for example an id that the damage has renamed.
                continue;
            }
        }
    }

    private static void ask(SparseRecommender model, int question) {
        switch (question) {
            case 0:
                model.recommend(HISTORY, 7);
                break;
            case 1:
                model.recommend(Request.forUser("98").k(70).exclude(Collections.singletonList("item-3")));
                break;
            case 2:
                model.recommend(Request.forUser("99").k(3).candidates(Arrays.asList("item-3", "item-40")));
                break;
            case 3:
                model.similar("item-9", 100);
                break;
            case 4:
                model.score(Request.forUser("100"), Arrays.asList("item-3", "item-69"));
                break;
            case 5:
                model.lookup(Arrays.asList("item-3", "item-69"));
                break;
            case 6:
                model.search("gr", 100);
                break;
            case 7:
                model.titles(HISTORY);
                break;
            default:
                model.metadata();
        }
    }
}
